"""Reading what goes into a proof from a chain: blocks with the proofs of their transactions, and the state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from node.chain.rpc import Block, ChainUnavailable
from node.chain.sealed import SealedReader
from node.flow.proof.file import Carrier, ProofBlock, ProofState


@dataclass(frozen=True, slots=True)
class Source:
    """A transaction that the proof needs: its block, with the hash that the chain told, and its index there."""

    block: int
    block_hash: str
    index: int


class Evidence:
    """Reads a chain for a proof. ``tell`` is told what is being read. Everything may raise ChainUnavailable."""

    def __init__(self, sealed: SealedReader, tell: Callable[[str], None]) -> None:
        self._sealed = sealed
        self._tell = tell

    def blocks(self, sources: Iterable[Source], head: Block) -> tuple[ProofBlock, ...]:
        """The blocks of the transactions, and the head, which is the last."""
        wanted: dict[int, set[int]] = {head.number: set()}
        hashes = {head.number: head.hash}
        for each in sources:
            wanted.setdefault(each.block, set()).add(each.index)
            if hashes.setdefault(each.block, each.block_hash) != each.block_hash:
                raise _dropped()
        blocks: list[ProofBlock] = []
        for done, number in enumerate(sorted(wanted), start=1):
            self._tell(f"reading block {done} of {len(wanted)}")
            blocks.append(self._block(number, sorted(wanted[number]), hashes[number]))
        return tuple(blocks)

    def state(self, head: Block, address: str, slot: int) -> ProofState | None:
        """The proof of a word of a contract's storage at the head; None if the chain can't give such proofs."""
        self._tell("reading the contract's state")
        _, header = self._sealed.header(head.number)
        found = self._sealed.state(header, address, slot)
        return None if found is None else ProofState(found.account, found.storage)

    def _block(self, number: int, indexes: Sequence[int], want: str) -> ProofBlock:
        carriers: tuple[Carrier, ...] = ()
        if indexes:
            sealed = self._sealed.block(number)
            raw, header = sealed.raw, sealed.header
            if indexes[-1] >= len(sealed.hashes):
                raise ChainUnavailable(f"block {number} has {len(sealed.hashes)} transactions, want {indexes[-1] + 1}")
            carriers = tuple(
                Carrier(index, tuple(sealed.transactions.proof(index)), tuple(sealed.receipts.proof(index)))
                for index in indexes
            )
        else:
            raw, header = self._sealed.header(number)
        if "0x" + header.hash.hex() != want:
            raise _dropped()
        return ProofBlock(raw, carriers)


def _dropped() -> ChainUnavailable:
    return ChainUnavailable("the chain is dropping blocks: try when it is calm")
