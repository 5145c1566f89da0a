"""A partner's calls to a node, for a partner who keeps its own key: plain values in and out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from node.api.call import KEY
from node.api.client import NodeClient, Refused
from node.api.signed import SALT, SIGNATURE, VERSION
from node.flow.signing import Place, Wanted
from node.wire.vtrace.v1 import service_pb2 as wire

TRIES = 4
PAUSE_SECONDS = 0.5
_LOST = ("UNAVAILABLE", "DEADLINE_EXCEEDED")


@dataclass(frozen=True, slots=True)
class PartnerAccount:
    """A partner's actor, 0 if it has none, its account, and what a new one has to sign."""

    actor: int
    account: str
    sovereign: bool
    place: Place
    typed_data: str


@dataclass(frozen=True, slots=True)
class ToSign:
    """What a node gave to sign for a circ."""

    typed_data: str
    salt: bytes
    version: int


class Partner:
    """A logged-in partner at a node. All calls raise Refused or NotUnderstood.

    A call whose answer got lost is repeated; with circs goes an idempotency key, so they are recorded once.
    """

    def __init__(self, client: NodeClient, token: str, pause: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._token = token
        self._pause = pause

    def account(self, new_account: str = "") -> PartnerAccount:
        """The partner's account; an actor is registered if a new account is named and there is none."""
        told = self._call("GetAccount", wire.GetAccountRequest(new_account=new_account))
        place = Place(told.chain_id, told.contract)
        return PartnerAccount(told.actor, told.account, told.sovereign, place, told.typed_data)

    def set_account(self, account: str, possession: bytes) -> str:
        """Take the key over; answers the trans_id."""
        request = wire.SetAccountRequest(account=account, possession=possession)
        return str(self._call("SetAccount", request).trans_id)

    def prepare(self, wanted: Wanted) -> ToSign:
        """What has to be signed for a circ."""
        told = self._call("PrepareCirc", wire.PrepareCircRequest(batch_circ=_batch(wanted)))
        return ToSign(told.typed_data, told.salt, told.version)

    def record(self, wanted: Wanted, prepared: ToSign, signature: bytes) -> dict[int, str]:
        """Record a signed circ; answers each goods' trans_id."""
        signed = ((SIGNATURE, signature), (SALT, prepared.salt), (VERSION, str(prepared.version)))
        answer = self._call("BatchCirc", _batch(wanted), *signed, (KEY, str(uuid.uuid4())))
        return dict(answer.goodsId2transId)

    def _call(self, rpc: str, request: Any, *metadata: tuple[str, str | bytes]) -> Any:
        for attempt in range(1, TRIES):
            try:
                return self._client.call(rpc, request, self._token, metadata)
            except Refused as refusal:
                if refusal.status not in _LOST:
                    raise
                self._pause(max(refusal.retry_seconds or 0.0, PAUSE_SECONDS * attempt))
        return self._client.call(rpc, request, self._token, metadata)


def log_in(client: NodeClient, phone: str, password: str) -> str:
    """A token."""
    return str(client.call("Token", wire.TokenRequest(phone=phone, password=password)).token)


def version_moved(refusal: Refused) -> bool:
    """Whether a circ was refused because its goods have had another since it was prepared."""
    return refusal.status == "FAILED_PRECONDITION" and refusal.metadata.get("rule") == "WrongVersion"


def _batch(wanted: Wanted) -> wire.BatchCircRequest:
    request = wire.BatchCircRequest(goods_ids=wanted.goods_ids, circ_type=int(wanted.circ_type))  # type: ignore[arg-type]
    if wanted.to:
        request.to.value = wanted.to
    if wanted.form:
        request.form_info.value = wanted.form
    request.private = wanted.private
    return request
