"""Making a proof: the node says which circs goods have had, the chain proves it.

Neither is believed. The head is taken before the node is asked, so a node that hides nothing shows every circ that
the chain has at that head; whatever the two told is verified before it is given out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from node.chain import contract, layout
from node.chain.contract import AccountChanged, ActorRegistered, Circulated
from node.chain.rpc import Block, CallReverted, Chain, ChainUnavailable, JsonRpc, Log, Receipt
from node.chain.sealed import SealedReader
from node.domain.form import SALT_BYTES, form_digest
from node.domain.model import Circ, CircStatus
from node.flow.audit import AuditImpossible, NodeView, ShownCirc, Unreadable, one_line
from node.flow.proof.evidence import Evidence, Source
from node.flow.proof.file import (
    FILE_BYTES_MAX,
    ProofActor,
    ProofCirc,
    ProofFile,
    ProofWrong,
    write,
)
from node.flow.proof.proven import Place
from node.flow.proof.rules import verify

LOG_BLOCKS_MAX = 10_000
"""Blocks a log query asks for; ``Chain.logs`` halves what an endpoint finds too much."""
ACTORS_MAX = 100
"""Actors a log query asks for."""

_HASH = re.compile(r"0x[0-9a-f]{64}")

Progress = Callable[[str], None]
"""Is told what is being read."""


class ProofImpossible(Exception):
    """The proof can't be made; the message says why and what to do. As a string it is one printable line."""

    def __str__(self) -> str:
        return one_line(super().__str__())


@dataclass(frozen=True, slots=True)
class Made:
    """A proof, and what stands in none: a line for each thing that was left out."""

    proof: ProofFile
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Taken:
    """A circ that the node shows and the contract took."""

    place: Place
    block_hash: str
    circ: Circ
    shown: ShownCirc


def make(node: NodeView, rpc: JsonRpc, address: str, goods_id: int, progress: Progress = lambda _: None) -> Made:
    """The proof of goods' history at the chain's head. ``address`` is the contract's.

    Raises ProofImpossible: nobody knows the goods, the node or the endpoint can't be asked, or one of them says what
    the other doesn't.
    """
    try:
        return _Maker(node, rpc, address, goods_id, progress).make()
    except ChainUnavailable as fault:
        raise ProofImpossible(f"the chain can't be asked: {fault}") from fault
    except (AuditImpossible, Unreadable) as fault:
        raise ProofImpossible(str(fault)) from fault
    except ProofWrong as fault:
        raise ProofImpossible(f"what node and endpoint say proves nothing: {fault}") from fault


class _Maker:
    def __init__(self, node: NodeView, rpc: JsonRpc, address: str, goods_id: int, progress: Progress) -> None:
        self._node = node
        self._chain = Chain(rpc)
        self._sealed = SealedReader(rpc)
        self._address = address
        self._goods_id = goods_id
        self._tell = progress
        self._notes: list[str] = []

    def make(self) -> Made:
        chain_id = self._chain.chain_id()
        if not contract.code_matches(self._chain.code(self._address), chain_id, self._address):
            raise ProofImpossible(
                f"at {self._address} on chain {chain_id} is not the contract that this program knows: is the address "
                "right, and does the endpoint serve the node's chain?"
            )
        head = self._chain.head()
        self._tell("reading the node's history")
        taken = self._taken(head)
        self._check_count(taken, head)
        self._tell("reading registrations")
        actors, told = self._actors(taken, head)
        evidence = Evidence(self._sealed, self._tell)
        sources = [Source(each.place[0], each.block_hash, each.place[1]) for each in taken]
        state = evidence.state(head, self._address, layout.goods_slot(self._goods_id))
        if state is None:
            self._notes.append(
                "the chain gives no proofs of its state (eth_getProof), so that no circ is left out, and that the "
                "contract is the one known, rests on an RPC"
            )
        proof = ProofFile(
            chain_id=chain_id,
            contract=self._address.lower(),
            goods_id=self._goods_id,
            blocks=evidence.blocks([*sources, *told], head),
            circs=tuple(ProofCirc(each.shown.salt, each.shown.form) for each in taken),
            actors=actors,
            state=state,
        )
        self._tell("verifying")
        verify(proof)
        if len(write(proof)) > FILE_BYTES_MAX:
            raise ProofImpossible(f"the proof would have more than {FILE_BYTES_MAX} bytes, which nobody would read")
        return Made(proof, tuple(self._notes))

    # --- the circs

    def _taken(self, head: Block) -> list[_Taken]:
        """The circs that the node shows and the contract has taken up to ``head``, in the chain's order."""
        shown = self._node.history(self._goods_id)
        if shown is None:
            raise ProofImpossible(f"goods {self._goods_id}: the node doesn't know them")
        failed = [each for each in shown.circs if each.status == CircStatus.FAILED]
        hoped = [each for each in shown.circs if each.status != CircStatus.FAILED]
        receipts = self._receipts(hoped, head)
        taken: dict[Place, _Taken] = {}
        missing = 0
        for each in hoped:
            found = self._find(each, receipts)
            if found is None:
                missing += 1
            else:
                taken[found.place] = found
        if missing:
            self._notes.append(f"left out: {missing} circs that are not mined at block {head.number}")
        if failed:
            self._notes.append(f"left out: {len(failed)} failed circs, which never were")
        return [taken[place] for place in sorted(taken)]

    def _receipts(self, circs: Sequence[ShownCirc], head: Block) -> dict[str, Receipt]:
        """The receipts, up to ``head``, of the transactions that the circs name."""
        named = {name.lower() for each in circs for name in (each.tx_hash, each.trans_id) if name is not None}
        hashes = sorted(name for name in named if _HASH.fullmatch(name))
        found = zip(hashes, self._chain.receipts(hashes), strict=True)
        return {
            tx_hash: receipt
            for tx_hash, receipt in found
            if receipt is not None and receipt.status and receipt.block_number <= head.number
        }

    def _find(self, shown: ShownCirc, receipts: Mapping[str, Receipt]) -> _Taken | None:
        """The event that is a shown circ: of these goods, and with its digest."""
        if shown.is_withheld:
            raise ProofImpossible(
                f"circ {shown.trans_id or shown.tx_hash}: its form was forgotten at its operator's wish, and "
                "a proof has every form"
            )
        if len(shown.salt) != SALT_BYTES:
            raise ProofImpossible(f"the node shows a circ with a salt of {len(shown.salt)} bytes, want {SALT_BYTES}")
        digest = form_digest(shown.salt, shown.form)
        others = 0
        for name in (shown.tx_hash, shown.trans_id):
            receipt = receipts.get((name or "").lower())
            for number, log in enumerate(receipt.logs if receipt is not None else ()):
                circ = self._circ(log)
                if circ is None:
                    continue
                if circ.form_digest == digest:
                    return _Taken((log.block_number, log.tx_index, number), log.block_hash, circ, shown)
                others += 1
        if others:
            raise ProofImpossible(
                f"circ {shown.trans_id or shown.tx_hash}: form and salt that the node shows are not those that the "
                "contract took; without them there is no proof"
            )
        return None

    def _circ(self, log: Log) -> Circ | None:
        """The circ in a log of the contract, if it is about the goods."""
        if log.address.lower() != self._address.lower():
            return None
        try:
            event = contract.decode_log(log.topics, log.data)
        except ValueError as fault:
            raise ChainUnavailable(f"a log of the contract can't be understood: {fault}") from fault
        if not isinstance(event, Circulated) or not any(self._goods_id in span for span in event.circ.goods):
            return None
        return event.circ

    def _check_count(self, taken: Sequence[_Taken], head: Block) -> None:
        """A proof of less than all would be refused: say now what is missing."""
        try:
            answer = self._chain.call(self._address, contract.goods_of_data(self._goods_id), head.number)
            _, times = contract.decode_goods_of(answer)
        except (CallReverted, ValueError) as fault:
            raise ChainUnavailable(f"goodsOf answered {fault}") from fault
        if not times:
            raise ProofImpossible(f"goods {self._goods_id}: the contract has taken no circ of them yet")
        if times != len(taken):
            raise ProofImpossible(
                f"goods {self._goods_id}: the contract counts {times} circs, the node shows {len(taken)} of them; if "
                "it is not just catching up, it hides some: audit it"
            )

    # --- the actors

    def _actors(self, taken: Sequence[_Taken], head: Block) -> tuple[tuple[ProofActor, ...], list[Source]]:
        """The actors of the circs with their names, and where the contract tells of them."""
        names = self._names(taken)
        last_circ = {each.circ.operator: each.place for each in taken}
        left, sources = set(names), []
        last = head.number
        while left:
            first = max(last - LOG_BLOCKS_MAX + 1, 0)
            for log in self._actor_logs(left, first, last):
                event = contract.decode_log(log.topics, log.data)
                place = (log.block_number, log.tx_index, log.log_index)
                if isinstance(event, ActorRegistered) and event.actor in left:
                    left.discard(event.actor)
                elif not isinstance(event, AccountChanged) or not _precedes(place, last_circ.get(event.actor)):
                    continue
                sources.append(Source(log.block_number, log.block_hash, log.tx_index))
            if left and first == 0:
                raise ChainUnavailable(f"eth_getLogs: the chain has no registration of actor {min(left)}")
            last = first - 1
        return tuple(ProofActor(actor, names[actor]) for actor in sorted(names)), sources

    def _names(self, taken: Sequence[_Taken]) -> dict[int, str]:
        """The usernames that the node shows for the actors of the circs."""
        names: dict[int, str] = {}
        for each in taken:
            for actor, name in ((each.circ.operator, each.shown.operator), (each.circ.to, each.shown.to)):
                if name is None or names.setdefault(actor, name) != name:
                    raise ProofImpossible(f"the node shows no name, or several, for actor {actor}: audit it")
        return names

    def _actor_logs(self, actors: Iterable[int], first: int, last: int) -> list[Log]:
        """The registrations and the changes of account of some actors."""
        topics = [contract.ACTOR_REGISTERED_TOPIC, contract.ACCOUNT_CHANGED_TOPIC]
        numbers = sorted(actors)
        found: list[Log] = []
        for start in range(0, len(numbers), ACTORS_MAX):
            words = [actor.to_bytes(32, "big") for actor in numbers[start : start + ACTORS_MAX]]
            found += self._chain.logs(self._address, [topics, words], first, last)
        return found


def _precedes(place: Place, last_circ: Place | None) -> bool:
    return last_circ is not None and place[:2] <= last_circ[:2]
