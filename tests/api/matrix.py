"""Every rpc of the descriptors, called by everybody: what the node does beside what its table says.

``python -m tests.api.matrix`` prints it. The rpcs, the callers and what is expected are derived; written by hand are
only the requests that would be taken if the caller may.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from node.api.services import SERVICES, message_class
from node.chain import signer
from node.clock import now_micros
from node.config import Config
from node.domain.access import ACCESS, Access, Scope
from node.domain.model import CircType
from node.domain.records import User
from node.domain.roles import Role, has
from node.flow.passwords import Passwords
from node.store import people as users
from node.store import personal, products, tables
from node.wire.vtrace.v1 import service_pb2 as wire
from scripts import train_models
from tests.flow.world import Running, started
from tests.models.test_shipped import written
from tests.support import people
from tests.support.node import eventually
from tests.support.own_key import with_key

METHODS = {method.full_name: method for service in SERVICES for method in service.methods}
CALL_SECONDS_MAX = 60
OK, UNKNOWN_CALLER, DENIED, NOT_OWNER = "ok", "unauthenticated", "denied", "not owner"
SHORT = {OK: "ok", UNKNOWN_CALLER: "who?", DENIED: "-", NOT_OWNER: "not held"}
_REASONS = {"UNAUTHENTICATED": UNKNOWN_CALLER, "PERMISSION_DENIED": DENIED}


class Column(Enum):
    """Who calls. Somebody with a role asks about what is their own; OTHER, a boss elsewhere, about another org's."""

    NOBODY = "nobody"
    NORMAL = "normal"
    TRANSPORTER = "transporter"
    PRODUCER = "producer"
    BOSS = "boss"
    EXAMINER = "examiner"
    ADMIN = "admin"
    DELETED = "deleted"
    OTHER = "other org"

    @property
    def role(self) -> Role | None:
        if self is Column.NOBODY:
            return None
        return {Column.DELETED: Role.BOSS, Column.OTHER: Role.BOSS}.get(self) or Role(self.value)


@dataclass
class World:
    """A running node of this process, and rows that its rpcs would take long to make."""

    running: Running
    channel: grpc.Channel
    password_hash: str
    phones: dict[int, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def user(self, role: Role) -> User:
        number = next(self.numbers)
        with tables.database.atomic():
            made = users.add_user(
                username=f"u{number:016x}",
                nickname=f"user {number}",
                role=role,
                password_hash=self.password_hash,
                now=now_micros(),
            )
            self.phones[made.id] = f"139{number:08d}"
            personal.add(self.running.node.people._seal, made.id, self.phones[made.id])
            return made

    def org(self, owner: User) -> int:
        number = next(self.numbers)
        with tables.database.atomic():
            made = users.add_org(
                name=f"Cooperative {number}",
                code=people.org_code(number),
                info=b"",
                owner_id=owner.id,
                now=now_micros(),
            )
        self.join(owner, made.id)
        return made.id

    def join(self, user: User, org_id: int) -> None:
        with tables.database.atomic():
            users.change_user(user.id, org=org_id, role_before=Role.TRANSPORTER.value)

    def token(self, user: User) -> str:
        return self.running.node.tokens.issue(user)

    def call(self, rpc: str, request: Any, token: str | None) -> Any:
        method = METHODS[rpc]
        kinds = {(True, False): "stream_unary", (False, True): "unary_stream", (False, False): "unary_unary"}
        make = getattr(self.channel, kinds[method.client_streaming, method.server_streaming])
        stub = make(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=message_class(method.output_type).FromString,
        )
        metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        sent = iter([request]) if method.client_streaming else request
        answer = stub(sent, timeout=CALL_SECONDS_MAX, metadata=metadata)
        if not method.server_streaming:
            return answer
        first = next(answer)
        answer.cancel()
        return first

    def ask(self, name: str, token: str, **fields: Any) -> Any:
        """A call of the set-up."""
        (rpc,) = (full for full, method in METHODS.items() if method.name == name)
        return self.call(rpc, message_class(METHODS[rpc].input_type)(**fields), token)


class Cell:
    """One rpc called by one caller: who that is, and what the request is about."""

    def __init__(self, world: World, access: Access, column: Column) -> None:
        self.world = world
        self.access = access
        self.column = column
        self.names_user = self.names_org = False
        role = column.role
        self.caller = None if role is None else world.user(role)
        self.token = None if self.caller is None else world.token(self.caller)
        if column is Column.OTHER:
            assert self.caller is not None
            if access.scope is not Scope.SELF:
                world.org(self.caller)
        elif access.scope in (Scope.OWN_ORG, Scope.OWNED_ORG):
            self._org_id  # noqa: B018 (the caller is in it before it calls)
        if column is Column.DELETED:
            assert self.token is not None
            world.ask("DeleteUser", self.token)

    @property
    def is_authorised(self) -> bool:
        """Whether the caller gets as far as the scope."""
        if self.caller is None or self.column is Column.DELETED:
            return False
        return any(has(self.caller.role, role) for role in self.access.roles)

    @cached_property
    def boss(self) -> User:
        """Who owns the org that the request is about."""
        if self.column is Column.BOSS:
            assert self.caller is not None
            return self.caller
        return self.world.user(Role.BOSS)

    @cached_property
    def _org_id(self) -> int:
        org_id = self.world.org(self.boss)
        if self.column in (Column.PRODUCER, Column.ADMIN):
            assert self.caller is not None
            self.world.join(self.caller, org_id)
        return org_id

    @property
    def org_id(self) -> int:
        self.names_org = True
        return self._org_id

    @cached_property
    def class_id(self) -> int:
        with tables.database.atomic():
            return products.add_class(
                name="Arabica",
                description=b"",
                trademark="",
                material_id=0,
                state="active",
                org_id=self.org_id,
                creator_id=self.boss.id,
                now=now_micros(),
            )

    @cached_property
    def serial_id(self) -> int:
        with tables.database.atomic():
            return products.add_serial(
                class_id=self.class_id,
                product_time=now_micros(),
                state="active",
                creator_id=self.boss.id,
                now=now_micros(),
            )

    @cached_property
    def goods_id(self) -> int:
        """Goods of the org, in the custody of its boss."""
        token = self.world.token(self.boss)
        (made,) = self.world.ask("BatchCreateGoods", token, serial_id=self.serial_id, sum=1).ids
        return int(made.value)

    @cached_property
    def held_id(self) -> int:
        """Goods in the custody of the caller, but of a boss elsewhere for OTHER and for who will never get so far."""
        goods_id = self.goods_id
        if self.is_authorised and self.column not in (Column.OTHER, Column.BOSS):
            assert self.caller is not None
            token = self.world.token(self.boss)
            self.world.ask("CreateCirc", token, goods_id=goods_id, circ_type=3, to=self.caller.username)
        return goods_id

    @cached_property
    def webhook_id(self) -> int:
        """A webhook of the org."""
        assert self.org_id
        token = self.world.token(self.boss)
        return int(self.world.ask("CreateWebhook", token, url="https://partner.example.com/hook").id)

    @cached_property
    def username(self) -> str:
        """Whom the request is about: another user for OTHER, and for those who may act for others; else the caller."""
        self.names_user = True
        acts_for_others = self.access.others is not None and self.caller and has(self.caller.role, self.access.others)
        if self.caller is None or self.column is Column.OTHER or acts_for_others:
            return self.world.user(Role.NORMAL).username
        return self.caller.username

    @property
    def kind(self) -> int:
        """A circ that the caller's role can record."""
        return int(CircType.EXAM if self.column is Column.EXAMINER else CircType.PROCESS)

    def possession(self) -> tuple[str, bytes]:
        """An account of a fresh key, with the signature that gives it to the caller's actor."""
        key = signer.new_key()
        account = signer.address_of(key)
        if not self.is_authorised:
            return account, b"\1" * 65
        assert self.token is not None
        shown = self.world.ask("GetAccount", self.token, new_account=account)
        return account, with_key(key)(shown.typed_data)

    def take_key(self) -> None:
        """The caller signs its circs itself from now on."""
        account, possession = self.possession()
        if self.is_authorised:
            assert self.token is not None
            self.world.ask("SetAccount", self.token, account=account, possession=possession)

    def expected(self) -> str:
        """What the table says of this call."""
        access, caller = self.access, self.caller
        if not access.roles:
            return OK
        if caller is None or self.column is Column.DELETED:
            return UNKNOWN_CALLER
        if not self.is_authorised:
            return DENIED
        is_other = self.column is Column.OTHER
        match access.scope:
            case Scope.ANYTHING:
                return OK
            case Scope.SELF:
                may = not self.names_user or not is_other
            case Scope.OWN_ORG:
                may = not is_other or not self.names_org
            case Scope.OWNED_ORG:
                may = self.column is Column.BOSS or (is_other and not self.names_org)
            case Scope.HOLDER:
                return NOT_OWNER if is_other else OK
        return OK if may else DENIED


def _update_user(cell: Cell) -> Any:
    request = wire.UpdateUserRequest()
    request.user.username.value = cell.username
    request.user.nickname.value = "another"
    return request


def _update_org(cell: Cell) -> Any:
    request = wire.UpdateOrgRequest()
    request.org.id.value = cell.org_id
    request.org.org_name.value = "Another name"
    return request


def _update_class(cell: Cell) -> Any:
    request = wire.UpdateClassRequest()
    goods_class = getattr(request, "class")
    goods_class.ID.value = cell.class_id
    goods_class.state.value = "closed"
    return request


def _update_serial(cell: Cell) -> Any:
    request = wire.UpdateGoodsSerialRequest()
    request.serial.ID.value = cell.serial_id
    request.serial.state.value = "closed"
    return request


def _update_goods(cell: Cell) -> Any:
    request = wire.UpdateGoodsRequest()
    request.goods.ID.value = cell.goods_id
    request.goods.state.value = "recalled"
    return request


def _remove_member(cell: Cell) -> Any:
    member = cell.world.user(Role.PRODUCER)
    cell.world.join(member, cell.org_id)
    return wire.OrgRemoveMemberRequest(org_id=cell.org_id, username=member.username)


def _prepare(cell: Cell) -> Any:
    request = wire.PrepareCircRequest(create_circ=wire.CreateCircRequest(goods_id=cell.held_id, circ_type=cell.kind))
    cell.take_key()
    return request


def _set_account(cell: Cell) -> Any:
    account, possession = cell.possession()
    return wire.SetAccountRequest(account=account, possession=possession)


def _predict(_: Cell) -> Any:
    sample = train_models.held_out("wine-cultivar").x[0]
    return wire.PredictRequest(model_name="wine-cultivar", data=written("wine-cultivar", sample))


BUILDERS: dict[str, Callable[[Cell], Any]] = {
    "Register": lambda cell: wire.RegisterRequest(
        phone=f"137{next(cell.world.numbers):08d}", nickname="new", passwd=people.PASSWORD
    ),
    "Token": lambda cell: wire.TokenRequest(phone=cell.world.phones[cell.boss.id], password=people.PASSWORD),
    "RefreshToken": lambda _: wire.RefreshTokenRequest(),
    "Profile": lambda _: wire.ProfileRequest(),
    "UpdateUser": _update_user,
    "DeleteUser": lambda cell: wire.DeleteUserRequest(username=cell.username),
    "GetOrgUser": lambda cell: wire.GetOrgOfUserRequest(username=cell.org_id and cell.boss.username),
    "Upload": lambda _: wire.UploadRequest(content=b"a file"),
    "IdentityAuth": lambda cell: wire.IdentityAuthRequest(
        username=cell.username, realname="Zhang San", idcard=people.resident_id(next(cell.world.numbers))
    ),
    "OrgAuth": lambda cell: wire.OrgAuthRequest(
        org_name="A new one",
        code=people.org_code(next(cell.world.numbers)),
        legal_name="Li Si",
        legal_phone="0871-6512345",
    ),
    "Member": lambda cell: wire.MemberRequest(org_id=cell.org_id, username=cell.world.user(Role.NORMAL).username),
    "OrgRemoveMember": _remove_member,
    "ListOrgMember": lambda cell: wire.ListOrgMemberRequest(org_id=cell.org_id),
    "UpdateOrg": _update_org,
    "CreateGoodsClass": lambda _: wire.CreateGoodsClassRequest(goods_name="Robusta"),
    "CreateGoodsSerial": lambda cell: wire.CreateGoodsSerialRequest(class_id=cell.class_id),
    "BatchCreateGoods": lambda cell: wire.BatchCreateGoodsRequest(serial_id=cell.serial_id, sum=1),
    "ListClass": lambda _: wire.ListClassRequest(),
    "ListGoodsSerial": lambda _: wire.ListGoodsSerialRequest(),
    "ListGoods": lambda _: wire.ListGoodsRequest(),
    "UpdateClass": _update_class,
    "UpdateGoodsSerial": _update_serial,
    "UpdateGoods": _update_goods,
    "ListMaterial": lambda _: wire.ListMaterialRequest(),
    "ListLabels": lambda cell: wire.ListLabelsRequest(serial_id=cell.serial_id),
    "GetClass": lambda cell: wire.GetClassRequest(goods_id=cell.goods_id),
    "GetGoodsSerial": lambda cell: wire.GetGoodsSerialRequest(serial_id=cell.serial_id),
    "CreateCirc": lambda cell: wire.CreateCircRequest(goods_id=cell.held_id, circ_type=cell.kind),
    "BatchCirc": lambda cell: wire.BatchCircRequest(goods_ids=[cell.held_id], circ_type=cell.kind),
    "GetAccount": lambda _: wire.GetAccountRequest(new_account=signer.address_of(signer.new_key())),
    "SetAccount": _set_account,
    "PrepareCirc": _prepare,
    "GetCirc": lambda cell: wire.GetCircRequest(goods_id=cell.goods_id),
    "GetGoods": lambda cell: wire.GetGoodsRequest(goods_id=cell.goods_id),
    "ContractName": lambda _: wire.ContractNameRequest(),
    "ListScanAlerts": lambda _: wire.ListScanAlertsRequest(),
    "WatchCirc": lambda cell: wire.WatchCircRequest(goods_id=[cell.goods_id]),
    "WatchOrgCirc": lambda _: wire.WatchOrgCircRequest(),
    "CreateWebhook": lambda _: wire.CreateWebhookRequest(url="https://partner.example.com/hook"),
    "ListWebhooks": lambda _: wire.ListWebhooksRequest(),
    "DeleteWebhook": lambda cell: wire.DeleteWebhookRequest(id=cell.webhook_id),
    "ListModels": lambda _: wire.ListModelsRequest(),
    "Predict": _predict,
}
"""rpc → a request that is taken from whoever may."""


@contextmanager
def world(data_dir: Path, **options: Any) -> Iterator[World]:
    with started(Config(data_dir=data_dir, grpc="127.0.0.1:0", http="127.0.0.1:0", **options)) as running:
        channel = grpc.insecure_channel(running.ready.grpc)
        try:
            made = World(running, channel, Passwords().hash(people.PASSWORD))
            judge = made.token(made.user(Role.EXAMINER))
            eventually(lambda: all(model.state.value == "ready" for model in made.ask("ListModels", judge).models))
            yield made
        finally:
            channel.close()


def outcome(error: grpc.RpcError) -> str:
    """A refusal in the table's words, or in its own where the table has none for it."""
    status = error.code().name
    if status in _REASONS:
        return _REASONS[status]
    for detail in getattr(rpc_status.from_call(error), "details", ()):
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.reason == "NOT_OWNER":
            return NOT_OWNER
    return f"{status}: {error.details()}"


def row(made: World, rpc: str) -> list[tuple[Column, str, str]]:
    """An rpc called by everybody: what came of it, and what the table says."""
    name = METHODS[rpc].name
    cells = []
    for column in Column:
        cell = Cell(made, ACCESS[name], column)
        request = BUILDERS[name](cell)
        got = OK
        try:
            made.call(rpc, request, cell.token)
        except grpc.RpcError as error:
            # What another org has may be said not to be there: whoever owns it shows that it is.
            is_hidden = cell.names_org and error.code() is grpc.StatusCode.NOT_FOUND
            got = DENIED if is_hidden else outcome(error)
        cells.append((column, got, cell.expected()))
    return cells


def main() -> int:
    """Print the matrix; 1 if something is not as the table says."""
    differences = 0
    with tempfile.TemporaryDirectory() as folder, world(Path(folder) / "data") as made, suppress(BrokenPipeError):
        print(f"{'rpc':18}{'the table':42}{''.join(f'{column.value:12}' for column in Column)}")
        for rpc, method in METHODS.items():
            cells = row(made, rpc)
            wrong = [cell for cell in cells if cell[1] != cell[2]]
            differences += len(wrong)
            said = "".join(f"{SHORT.get(got, '?'):12}" for _, got, _ in cells)
            print(f"{method.name:18}{ACCESS[method.name]!s:42}{said}".rstrip())
            for column, got, expected in wrong:
                print(f"  {column.value}: {got}, the table says {expected}")
        total = len(METHODS) * len(Column)
        print(f"{len(METHODS)} rpcs x {len(Column)} callers: {total} calls, {differences} not as the table says")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
