"""A partner who keeps its own key: it needs the generated messages and eth-account, and nothing else of the node."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
from eth_account import Account

from node.wire.vtrace.v1 import service_pb2 as wire
from tests.support.people import Person
from tests.support.wire_client import Refusal

CUSTODY_RPCS = ("GetAccount", "SetAccount", "PrepareCirc")

Sign = Callable[[str], bytes]
TIMEOUT_SECONDS = 30


def with_key(key: bytes) -> Sign:
    """Signs typed data by eth-account."""
    return lambda text: bytes(Account.sign_typed_data(key, full_message=json.loads(text)).signature)


class Partner:
    """A registered user; ``sign`` is how its own account signs typed data."""

    def __init__(self, person: Person, account: str, sign: Sign) -> None:
        self.person = person
        self.account = account
        self.sign = sign
        self._channel = grpc.insecure_channel(person.client.address)

    def close(self) -> None:
        self._channel.close()

    def move_to(self, address: str) -> None:
        """Go on with a node at another address."""
        self.close()
        self._channel = grpc.insecure_channel(address)

    def call(self, service: str, rpc: str, request: Any, *metadata: tuple[str, Any]) -> Any:
        answer = getattr(wire, f"{rpc}Response")
        stub = self._channel.unary_unary(
            f"/vtrace.v1.{service}/{rpc}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        token = ("authorization", f"Bearer {self.person.client.token}")
        try:
            return stub(request, timeout=TIMEOUT_SECONDS, metadata=[token, *metadata])
        except grpc.RpcError as error:
            raise Refusal(error) from error

    def shown(self, new_account: str = "") -> Any:
        return self.call("VTraceCustody", "GetAccount", wire.GetAccountRequest(new_account=new_account))

    def set_account(self, possession: bytes | None = None) -> Any:
        """Take the key over, or send this possession."""
        if possession is None:
            possession = self.sign(self.shown(self.account).typed_data)
        request = wire.SetAccountRequest(account=self.account, possession=possession)
        return self.call("VTraceCustody", "SetAccount", request)

    def prepare(self, request: Any) -> Any:
        field = {"CreateCirc": "create_circ", "BatchCirc": "batch_circ"}.get(_rpc(request), "batch_create_goods")
        return self.call("VTraceCustody", "PrepareCirc", wire.PrepareCircRequest(**{field: request}))

    def send(self, request: Any, *metadata: tuple[str, Any]) -> Any:
        return self.call("VTraceInterface", _rpc(request), request, *metadata)

    def record(self, request: Any, *metadata: tuple[str, Any]) -> Any:
        """Prepare, sign and send."""
        return self.send(request, *self.signed(self.prepare(request)), *metadata)

    def signed(self, prepared: Any, *, version: bool = True) -> list[tuple[str, Any]]:
        """The metadata for what was prepared."""
        signature = self.sign(prepared.typed_data)
        told = [("vtrace-signature-bin", signature), ("vtrace-salt-bin", prepared.salt)]
        return [*told, ("vtrace-version", str(prepared.version))] if version else told


def _rpc(request: Any) -> str:
    return str(request.DESCRIPTOR.name.removesuffix("Request"))


def circ(goods_id: int, kind: int = 1, to: str = "", form: bytes = b"") -> Any:
    request = wire.CreateCircRequest(goods_id=goods_id, circ_type=kind, to=to)
    if form:
        request.form_value.value = form
    return request


def batch(goods_ids: list[int], kind: int = 1, to: str = "") -> Any:
    request = wire.BatchCircRequest(goods_ids=goods_ids, circ_type=kind)
    if to:
        request.to.value = to
    return request
