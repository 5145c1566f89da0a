"""Every rpc by every caller: allowed and refused as the table of node/domain/access.py says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from node.api import dispatch
from node.domain.access import ACCESS, CIRCS, Scope
from node.domain.model import CircType
from node.domain.roles import Role, has
from node.wire.vtrace.v1 import service_pb2 as wire
from tests.api import matrix
from tests.api.matrix import BUILDERS, DENIED, METHODS, NOT_OWNER, OK, Cell, Column, World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with matrix.world(tmp_path_factory.mktemp("matrix") / "data") as made:
        yield made


def test_every_rpc_has_a_row_and_a_request_to_try_it_with() -> None:
    names = [method.name for method in METHODS.values()]
    assert len(set(names)) == len(names), "rows go by the rpc's name: it must be one rpc's alone"
    assert set(names) == set(ACCESS)
    assert set(names) == set(BUILDERS), "a new rpc needs a request in tests/api/matrix.py"


def test_a_node_with_an_rpc_that_has_no_row_does_not_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rpc = next(rpc for rpc in world.running.node.rpcs if rpc.name == "Profile")
    monkeypatch.delitem(ACCESS, "Profile")
    with pytest.raises(AssertionError, match="rpc Profile has no row"):
        dispatch.Rpc(rpc.method, [], None, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("rpc", sorted(METHODS))
def test_everybody_may_what_the_table_says(world: World, rpc: str) -> None:
    cells = matrix.row(world, rpc)
    assert {column: got for column, got, _ in cells} == {column: expected for column, _, expected in cells}


def test_the_table_itself_says_what_the_design_does() -> None:
    anyone = {name for name, access in ACCESS.items() if access.open_to_anyone}
    assert anyone == {"Register", "Token", "GetCirc", "GetGoods", "ContractName", "WatchCirc"}
    bosses = {name for name, access in ACCESS.items() if access.roles == (Role.BOSS,)}
    assert bosses == {name for name, access in ACCESS.items() if access.scope is Scope.OWNED_ORG}
    assert bosses > {"Member", "OrgRemoveMember", "ListOrgMember", "UpdateOrg"}
    assert {name for name, access in ACCESS.items() if access.others is not None} == {"UpdateUser", "DeleteUser"}


@pytest.mark.parametrize("kind", CircType)
@pytest.mark.parametrize("column", [Column(role.value) for role in Role])
def test_each_kind_of_circ_is_for_its_roles(world: World, kind: CircType, column: Column) -> None:
    cell = Cell(world, ACCESS["CreateCirc"], column)
    assert cell.caller is not None
    goods_id, receiver = cell.held_id, world.user(Role.NORMAL).username if kind is CircType.TRANSFER else ""
    request = wire.CreateCircRequest(goods_id=goods_id, circ_type=int(kind), to=receiver)  # type: ignore[arg-type]
    may = any(has(cell.caller.role, role) for role in CIRCS[kind].roles)
    assert _outcome(cell, "CreateCirc", request) == (OK if may else DENIED)


def test_preparing_new_goods_is_for_those_who_may_make_them(world: World) -> None:
    for column in (Column.TRANSPORTER, Column.EXAMINER, Column.PRODUCER):
        cell = Cell(world, ACCESS["BatchCreateGoods"], column)
        request = wire.PrepareCircRequest(
            batch_create_goods=wire.BatchCreateGoodsRequest(serial_id=cell.serial_id, sum=1)
        )
        if column is Column.PRODUCER:
            cell.take_key()
            assert _outcome(cell, "PrepareCirc", request) == OK
            continue
        assert cell.caller is not None
        world.join(cell.caller, cell.org_id)
        with pytest.raises(grpc.RpcError) as refused:
            cell.world.ask("PrepareCirc", str(cell.token), batch_create_goods=request.batch_create_goods)
        assert refused.value.details().startswith("BatchCreateGoods needs the role producer")


def test_an_examiner_exams_what_others_hold_and_nobody_else_does(world: World) -> None:
    for column in (Column.EXAMINER, Column.ADMIN, Column.TRANSPORTER, Column.OTHER):
        cell = Cell(world, ACCESS["CreateCirc"], column)
        assert cell.caller is not None
        request = wire.CreateCircRequest(goods_id=cell.goods_id, circ_type=4)
        others = CIRCS[CircType.EXAM].others
        assert others is not None
        assert _outcome(cell, "CreateCirc", request) == (OK if has(cell.caller.role, others) else NOT_OWNER)


@pytest.mark.parametrize("name", ["ListClass", "ListGoodsSerial", "ListGoods"])
def test_lists_show_the_own_org_alone(world: World, name: str) -> None:
    for column in (Column.BOSS, Column.OTHER):
        cell = Cell(world, ACCESS[name], column)
        goods_id = cell.goods_id
        assert cell.token is not None
        answer = world.ask(name, cell.token)
        ((_, rows),) = answer.ListFields() or ((None, []),)
        own = {"ListClass": cell.class_id, "ListGoodsSerial": cell.serial_id, "ListGoods": goods_id}[name]
        assert [one.ID.value for one in rows] == ([own] if column is Column.BOSS else [])


def _outcome(cell: Cell, name: str, request: Any) -> str:
    (rpc,) = (full for full, method in METHODS.items() if method.name == name)
    try:
        cell.world.call(rpc, request, cell.token)
    except grpc.RpcError as error:
        return matrix.outcome(error)
    return OK


def test_the_matrix_finds_a_hole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that says less than the node holds, and one that says more, both show."""
    (rpc,) = (full for full, method in METHODS.items() if method.name == "ListModels")
    for other in (replace(ACCESS["ListModels"], roles=()), replace(ACCESS["ListModels"], roles=(Role.ADMIN,))):
        monkeypatch.setitem(ACCESS, "ListModels", other)
        assert [cell for cell in matrix.row(world, rpc) if cell[1] != cell[2]]
