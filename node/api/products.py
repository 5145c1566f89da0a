"""rpcs of classes, serials and goods."""

from __future__ import annotations

from node.api import convert
from node.api.call import Call
from node.api.paged import place_of
from node.api.signed import signed_once
from node.domain.records import User
from node.errors import Reason
from node.flow.goods import ClassChange, Products
from node.flow.query import Query
from node.flow.sovereign import OwnSignature
from node.flow.wallets import Wallets
from node.wire.vtrace.v1 import service_pb2 as wire


class ProductsServicer:
    """Servicer of the rpcs about products."""

    failed = Reason.GOODS_CREATE_FAILED
    duplicate = Reason.ENTRY_DUPLICATE

    def __init__(self, products: Products, query: Query, wallets: Wallets) -> None:
        self._products = products
        self._query = query
        self._wallets = wallets

    def CreateGoodsClass(
        self, caller: User, request: wire.CreateGoodsClassRequest, call: Call
    ) -> wire.CreateGoodsClassResponse:
        """A new class."""

        def create() -> wire.CreateGoodsClassResponse:
            class_id = self._products.create_class(
                caller, request.goods_name, request.goods_des.value, request.material_id, request.tm.value
            )
            return wire.CreateGoodsClassResponse(class_id=convert.number(class_id))

        return call.once(create)

    def CreateGoodsSerial(
        self, caller: User, request: wire.CreateGoodsSerialRequest, call: Call
    ) -> wire.CreateGoodsSerialResponse:
        """A new serial."""
        when = convert.micros("product_time", request.product_time) if request.HasField("product_time") else None

        def create() -> wire.CreateGoodsSerialResponse:
            serial_id = self._products.create_serial(caller, request.class_id, when)
            return wire.CreateGoodsSerialResponse(serial_id=convert.number(serial_id))

        return call.once(create)

    def BatchCreateGoods(
        self, caller: User, request: wire.BatchCreateGoodsRequest, call: Call
    ) -> wire.BatchCreateGoodsResponse:
        """New goods with their produce circ."""

        def create(own: OwnSignature | None) -> wire.BatchCreateGoodsResponse:
            ids = self._products.create_goods(caller, request.serial_id, request.sum, own)
            answer = wire.BatchCreateGoodsResponse(successes=len(ids))
            for id_ in ids:
                answer.ids.add().value = id_
            return answer

        return signed_once(call, self._wallets, create)

    def ListClass(self, caller: User, request: wire.ListClassRequest) -> wire.ListClassResponse:
        """The org's classes."""
        found, following = self._products.list_classes(caller, place_of(request))
        return wire.ListClassResponse(
            goods_classes=[convert.goods_class(one) for one in found], next_page_token=following
        )

    def ListGoodsSerial(self, caller: User, request: wire.ListGoodsSerialRequest) -> wire.ListGoodsSerialResponse:
        """The org's serials."""
        found, following = self._products.list_serials(caller, place_of(request))
        return wire.ListGoodsSerialResponse(serial=[convert.serial(one) for one in found], next_page_token=following)

    def ListGoods(self, caller: User, request: wire.ListGoodsRequest) -> wire.ListGoodsResponse:
        """The org's goods."""
        found, following = self._products.list_goods(caller, place_of(request))
        return wire.ListGoodsResponse(goods=[convert.one_goods(one) for one in found], next_page_token=following)

    def UpdateClass(self, caller: User, request: wire.UpdateClassRequest) -> wire.UpdateClassResponse:
        """Change a class."""
        given = getattr(request, "class")
        change = ClassChange(
            name=given.name.value if given.HasField("name") else None,
            description=given.des.value if given.HasField("des") else None,
            trademark=given.tm.value if given.HasField("tm") else None,
            material_id=given.material_id.value if given.HasField("material_id") else None,
            state=given.state.value if given.HasField("state") else None,
        )
        self._products.change_class(caller, given.ID.value, change)
        return wire.UpdateClassResponse(ok=True)

    def UpdateGoodsSerial(self, caller: User, request: wire.UpdateGoodsSerialRequest) -> wire.UpdateGoodsSerialResponse:
        """Change a serial."""
        given = request.serial
        goods_class = getattr(given, "class")
        self._products.change_serial(
            caller,
            given.ID.value,
            product_time=convert.micros("serial.timestamp", given.timestamp) if given.HasField("timestamp") else None,
            state=given.state.value if given.HasField("state") else None,
            class_id=goods_class.ID.value if goods_class.HasField("ID") else None,
        )
        return wire.UpdateGoodsSerialResponse(ok=True)

    def UpdateGoods(self, caller: User, request: wire.UpdateGoodsRequest) -> wire.UpdateGoodsResponse:
        """Change one goods."""
        given = request.goods
        self._products.change_goods(
            caller,
            given.ID.value,
            state=given.state.value if given.HasField("state") else None,
            serial_id=given.serial.ID.value if given.serial.HasField("ID") else None,
        )
        return wire.UpdateGoodsResponse(ok=True)

    def GetClass(self, caller: User, request: wire.GetClassRequest) -> wire.GetClassResponse:
        """The class of one goods."""
        goods = self._products.own_goods(caller, request.goods_id)
        response = wire.GetClassResponse()
        getattr(response, "class").CopyFrom(convert.goods_class(goods.serial.goods_class))
        return response

    def GetGoodsSerial(self, caller: User, request: wire.GetGoodsSerialRequest) -> wire.GetGoodsSerialResponse:
        """One serial."""
        return wire.GetGoodsSerialResponse(serial=convert.serial(self._products.own_serial(caller, request.serial_id)))

    def GetGoods(self, request: wire.GetGoodsRequest) -> wire.GetGoodsResponse:
        """One goods, for anybody."""
        return wire.GetGoodsResponse(good=convert.one_goods(self._query.goods(request.goods_id)))
