"""rpcs of users who keep their own key."""

from __future__ import annotations

from node.api.circs import asked_batch, asked_create
from node.domain.access import ACCESS, hold_role
from node.domain.records import User
from node.errors import Reason, invalid
from node.flow.accounts import Accounts
from node.wire.vtrace.v1 import service_pb2 as wire


class Custody:
    """Servicer of VTraceCustody."""

    failed = Reason.CREATE_CIRC_FAILED

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def GetAccount(self, caller: User, request: wire.GetAccountRequest) -> wire.GetAccountResponse:
        """The caller's account, and what another has to sign to take its place."""
        shown = self._accounts.shown(caller, request.new_account)
        return wire.GetAccountResponse(
            actor=shown.actor,
            account=shown.account,
            sovereign=shown.sovereign,
            chain_id=shown.chain_id,
            contract=shown.contract,
            typed_data=shown.typed_data,
        )

    def SetAccount(self, caller: User, request: wire.SetAccountRequest) -> wire.SetAccountResponse:
        """Another account for the caller's actor; done again it changes nothing."""
        actor, trans_id = self._accounts.give(caller, request.account, request.possession)
        return wire.SetAccountResponse(actor=actor, trans_id=trans_id)

    def PrepareCirc(self, caller: User, request: wire.PrepareCircRequest) -> wire.PrepareCircResponse:
        """What the caller has to sign for a circ."""
        match request.WhichOneof("circ"):
            case "create_circ":
                prepared = self._accounts.prepare(caller, *asked_create(caller, request.create_circ))
            case "batch_circ":
                prepared = self._accounts.prepare(caller, *asked_batch(caller, request.batch_circ))
            case "batch_create_goods":
                hold_role(ACCESS["BatchCreateGoods"], caller, "BatchCreateGoods")
                goods = request.batch_create_goods
                prepared = self._accounts.prepare_goods(caller, goods.serial_id, goods.sum)
            case _:
                raise invalid("circ", "nothing", "create_circ, batch_circ or batch_create_goods")
        return wire.PrepareCircResponse(typed_data=prepared.typed_data, salt=prepared.salt, version=prepared.version)
