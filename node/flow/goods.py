"""Classes, serials and goods of an org. What stands in a produce circ's form can't be changed any more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from node.clock import Clock
from node.domain import gs1, limits
from node.domain.access import hold_own_org
from node.domain.form import ProducedClass, ProducedOrg, ProducedSerial, ProduceForm, rfc3339
from node.domain.model import GOODS_ID_MAX, Circ, CircType
from node.domain.pages import Listing, Place
from node.domain.records import Goods, GoodsClass, Org, Serial, User
from node.errors import Reason, denied, invalid, not_found
from node.flow.callers import fresh
from node.flow.recognise import check_material
from node.flow.record import Recorder
from node.flow.sovereign import OwnSignature
from node.store import people, products
from node.store.db import Store

STATE_START = "active"
T = TypeVar("T", GoodsClass, Serial, Goods)
PRODUCT_TIME_MIN_MICROS = int(datetime(1900, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


CREATE_FIELDS = {
    "name": "goods_name",
    "description": "goods_des",
    "trademark": "tm",
    "material_id": "material_id",
    "state": "state",
}
UPDATE_FIELDS = {
    "name": "class.name",
    "description": "class.des",
    "trademark": "class.tm",
    "material_id": "class.material_id",
    "state": "class.state",
}
"""The paths of a class's values in CreateGoodsClassRequest and UpdateClassRequest, as errors name them."""


@dataclass(frozen=True, slots=True)
class ClassChange:
    """What UpdateClass may change; None leaves a value as it is."""

    name: str | None = None
    description: bytes | None = None
    trademark: str | None = None
    material_id: int | None = None
    state: str | None = None


class _Undone(Exception):
    """What was written is not to be kept."""


class Products:
    """The products of the callers' orgs."""

    def __init__(self, store: Store, recorder: Recorder, clock: Clock, submitted: Callable[[], None]) -> None:
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._submitted = submitted

    def create_class(self, caller: User, name: str, description: bytes, material_id: int, trademark: str) -> int:
        """A new class of the caller's org; answers its id."""
        _class_columns(ClassChange(name, description, trademark, material_id), CREATE_FIELDS)
        with self._store.write():
            org = _org_of(fresh(caller))
            return products.add_class(
                name=name,
                description=description,
                trademark=trademark,
                material_id=check_material(material_id),
                state=STATE_START,
                org_id=org.id,
                creator_id=caller.id,
                now=self._clock(),
            )

    def create_serial(self, caller: User, class_id: int, product_time: int | None) -> int:
        """A new serial of one of the org's classes; without a time it was produced now."""
        now = self._clock()
        when = self._checked_time("product_time", now if product_time is None else product_time)
        with self._store.write():
            goods_class = self.own_class(fresh(caller), class_id)
            return products.add_serial(
                class_id=goods_class.id, product_time=when, state=STATE_START, creator_id=caller.id, now=now
            )

    def create_goods(self, caller: User, serial_id: int, total: int, own: OwnSignature | None = None) -> list[int]:
        """``total`` new goods of one of the org's serials, with their produce circ; answers their ids.

        ``own`` is the signature of a caller who keeps its own key. Raises Unsure as ``Recorder.create`` does.
        """
        limits.goods_sum("sum", total)
        with self._store.write():
            caller, ids, form = self._new_goods(caller, serial_id, total)
            self._recorder.enrol(caller, CircType.PRODUCE, ids, "", form, is_first=True, own=own)
        self._submitted()
        return ids

    def planned_goods(self, caller: User, serial_id: int, total: int, salt: bytes) -> Circ:
        """The produce circ that ``create_goods`` would record now for a caller who keeps its own key."""
        limits.goods_sum("sum", total)
        planned: list[Circ] = []
        with suppress(_Undone), self._store.write():
            caller, ids, form = self._new_goods(caller, serial_id, total)
            planned.append(self._recorder.plan(caller, CircType.PRODUCE, ids, "", form, salt, is_first=True))
            raise _Undone  # the goods are made to see which ids they get, and not kept
        return planned[0]

    def _new_goods(self, caller: User, serial_id: int, total: int) -> tuple[User, list[int], bytes]:
        caller = fresh(caller)
        serial = self.own_serial(caller, serial_id)
        ids = products.add_goods(serial_id=serial.id, creator_id=caller.id, state=STATE_START, total=total)
        return caller, ids, produce_form(serial, _org_of(caller)).to_bytes()

    def own_class(self, caller: User, class_id: int) -> GoodsClass:
        """The class with this id, of the caller's org."""
        limits.identifier("class_id", class_id)
        found = products.goods_class(class_id)
        if found is None:
            raise not_found(Reason.GOODS_CLASS_NOT_FOUND, "class_id", class_id)
        hold_own_org(caller, found.org_id, "class", class_id)
        return found

    def own_serial(self, caller: User, serial_id: int) -> Serial:
        """The serial with this id, of the caller's org."""
        limits.identifier("serial_id", serial_id)
        found = products.serial(serial_id)
        if found is None:
            raise not_found(Reason.GOODS_SERIAL_NOT_FOUND, "serial_id", serial_id)
        hold_own_org(caller, found.goods_class.org_id, "serial", serial_id)
        return found

    def own_goods(self, caller: User, goods_id: int) -> Goods:
        """The goods with this id, of the caller's org."""
        limits.identifier("goods_id", goods_id)
        found = products.goods(goods_id)
        if found is None:
            raise not_found(Reason.GOODS_NOT_FOUND, "goods_id", goods_id)
        hold_own_org(caller, found.serial.goods_class.org_id, "goods", goods_id)
        return found

    def list_classes(self, caller: User, place: Place) -> tuple[list[GoodsClass], str]:
        """A page of the classes of the caller's org, by id, and the next page's token."""
        return _listed("classes", caller, place, products.list_classes)

    def list_serials(self, caller: User, place: Place) -> tuple[list[Serial], str]:
        """A page of the serials of the caller's org, by id, and the next page's token."""
        return _listed("serials", caller, place, products.list_serials)

    def list_goods(self, caller: User, place: Place) -> tuple[list[Goods], str]:
        """A page of the goods of the caller's org, by id, and the next page's token."""
        return _listed("goods", caller, place, products.list_goods)

    def change_class(self, caller: User, class_id: int, change: ClassChange) -> None:
        """Change a class; once goods of it exist, only its state."""
        columns = _class_columns(change, UPDATE_FIELDS)
        with self._store.write():
            known = self.own_class(fresh(caller), class_id)
            before = {
                "name": known.name,
                "description": known.description,
                "trademark": known.trademark,
                "material_id": known.material_id,
                "state": known.state,
            }
            columns = {name: value for name, value in columns.items() if value != before[name]}
            if columns.keys() - {"state"} and products.class_has_goods(class_id):
                raise _anchored("class", class_id, sorted(columns.keys() - {"state"}))
            if "material_id" in columns and change.material_id is not None:
                check_material(change.material_id)
            if columns:
                products.change_class(class_id, **columns)

    def change_serial(
        self, caller: User, serial_id: int, product_time: int | None, state: str | None, class_id: int | None
    ) -> None:
        """Change a serial; once goods of it exist, only its state. Its class stays."""
        columns: dict[str, object] = {}
        if state is not None:
            columns["state"] = limits.name("state", state, Reason.INVALID_PARAMS)
        with self._store.write():
            known = self.own_serial(fresh(caller), serial_id)
            if class_id is not None and class_id != known.goods_class.id:
                raise invalid("class.ID", class_id, f"the serial's own class {known.goods_class.id}, or none")
            if product_time is not None and product_time != known.product_time:
                columns["product_time"] = self._checked_time("timestamp", product_time)
                if products.serial_has_goods(serial_id):
                    raise _anchored("serial", serial_id, ["timestamp"])
            if columns:
                products.change_serial(serial_id, **columns)

    def change_goods(self, caller: User, goods_id: int, state: str | None, serial_id: int | None) -> None:
        """Change the state of one goods. Its serial stays."""
        with self._store.write():
            known = self.own_goods(fresh(caller), goods_id)
            if serial_id is not None and serial_id != known.serial.id:
                raise invalid("serial.ID", serial_id, f"the goods' own serial {known.serial.id}, or none")
            if state is not None:
                limits.name("state", state, Reason.INVALID_PARAMS)
                products.change_goods(goods_id, state=state)

    def _checked_time(self, field: str, micros: int) -> int:
        if not PRODUCT_TIME_MIN_MICROS <= micros <= self._clock() + limits.PRODUCT_TIME_AHEAD_MAX_MICROS:
            raise invalid(field, micros // 1_000_000, "seconds since 1970, from 1900 to one day ahead")
        return micros


def produce_form(serial: Serial, org: Org) -> ProduceForm:
    """What the chain is to remember of goods that are made from ``serial``."""
    made = serial.goods_class
    return ProduceForm(
        ProducedClass(made.id, made.name, made.description.decode(), made.trademark, made.material_id),
        ProducedSerial(serial.id, rfc3339(serial.product_time)),
        ProducedOrg(org.id, org.name, org.code),
    )


def _class_columns(change: ClassChange, fields: dict[str, str]) -> dict[str, object]:
    columns: dict[str, object] = {}
    if change.name is not None:
        columns["name"] = limits.name(fields["name"], change.name, Reason.INVALID_PARAMS, limits.LONG_NAME_LENGTH_MAX)
    if change.description is not None:
        limits.text(fields["description"], change.description, Reason.INVALID_PARAMS)
        columns["description"] = gs1.check_description(fields["description"], change.description)
    if change.trademark is not None:
        columns["trademark"] = limits.optional_name(fields["trademark"], change.trademark, Reason.INVALID_PARAMS)
    if change.material_id is not None:
        if not 0 <= change.material_id <= GOODS_ID_MAX:
            raise invalid(fields["material_id"], change.material_id, "0 (none) or a material's id")
        columns["material_id"] = change.material_id
    if change.state is not None:
        columns["state"] = limits.name(fields["state"], change.state, Reason.INVALID_PARAMS)
    return columns


def _listed(name: str, caller: User, place: Place, read: Callable[..., list[T]]) -> tuple[list[T], str]:
    org_id = _org_of(caller).id
    return place.listed(Listing(name, org_id), partial(read, org_id), lambda row: row.id)


def _org_of(caller: User) -> Org:
    org = people.org(caller.org_id) if caller.org_id is not None else None
    if org is None:
        raise denied("the caller belongs to no org: verify one (OrgAuth) or join one", Reason.PERMISSION_DENY)
    return org


def _anchored(what: str, number: int, names: list[str]) -> Exception:
    return denied(
        f"{what} {number} has goods whose produce circ says what it was: {', '.join(names)} can't change any "
        f"more; make a new {what}",
        Reason.PERMISSION_DENY,
        **{what: number, "fields": names},
    )
