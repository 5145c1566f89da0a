"""What a proof leaves to be believed: that its blocks are the chain's, and where it says so, an RPC's word."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from node.chain import contract
from node.chain.rpc import CallReverted, Chain, ChainUnavailable
from node.flow.audit import one_line
from node.flow.proof.file import ProofWrong
from node.flow.proof.proven import Proven, ProvenBlock


@dataclass(frozen=True, slots=True)
class Trust:
    """How far a proof is believed.

    ``trusted`` are the blocks on whose hashes it rests: somebody said that they are the chain's. ``open_blocks`` are
    those of which nobody has yet. ``complete`` says that it is known that no circ is left out; ``unchecked`` has a
    line for whatever an RPC should have told and did not.
    """

    trusted: tuple[ProvenBlock, ...]
    open_blocks: tuple[ProvenBlock, ...]
    complete: bool
    unchecked: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to be believed."""
        return not self.open_blocks and self.complete and not self.unchecked


def believe(proven: Proven, hashes: Collection[str]) -> Trust:
    """Believe that blocks with these hashes are the chain's.

    Raises ProofWrong for a hash of no block of the file: then the file is about another history.
    """
    given = {each.lower() for each in hashes}
    strangers = given - {block.hash for block in proven.blocks}
    if strangers:
        raise ProofWrong(f"no block of the file has the hash {min(strangers)}")
    # Of blocks in a row only the last needs to be believed: its hash binds those before it.
    last = [block for block in proven.blocks if not block.follows]
    return Trust(
        trusted=tuple(block for block in last if block.hash in given),
        open_blocks=tuple(block for block in last if block.hash not in given),
        complete=proven.complete,
    )


def ask(proven: Proven, trust: Trust, chain: Chain) -> Trust:
    """Ask a chain for what is left to be believed. Raises ProofWrong if it says otherwise."""
    try:
        found = chain.chain_id()
    except ChainUnavailable as fault:
        return replace(trust, unchecked=(one_line(f"the chain can't be asked: {fault}"),))
    if found != proven.chain_id:
        raise ProofWrong(f"chain_id: the file is about chain {proven.chain_id}, the RPC serves chain {found}")
    left: list[ProvenBlock] = []
    trusted = set(trust.trusted)
    unchecked: list[str] = []
    for block in trust.open_blocks:
        try:
            there = chain.block(block.number)
        except ChainUnavailable as fault:
            left.append(block)
            unchecked.append(one_line(f"block {block.number}: {fault}"))
            continue
        if there is None:
            left.append(block)
            unchecked.append(f"block {block.number}: the RPC's chain is not so long, or has forgotten it")
        elif there.hash != block.hash:
            raise ProofWrong(f"block {block.number} is {block.hash} in the file, and {there.hash} for the RPC")
        else:
            trusted.add(block)
    complete = trust.complete
    if not complete and not unchecked:
        try:
            _check_state(proven, chain)
            complete = True
        except ChainUnavailable as fault:
            unchecked.append(one_line(f"the contract's state at block {proven.blocks[-1].number}: {fault}"))
    ordered = tuple(block for block in proven.blocks if block in trusted)
    return Trust(ordered, tuple(left), complete, tuple(unchecked))


def _check_state(proven: Proven, chain: Chain) -> None:
    """What a proof of the state would have proven, on the RPC's word."""
    number = proven.blocks[-1].number
    if not contract.code_matches(chain.code(proven.contract, number), proven.chain_id, proven.contract):
        raise ProofWrong(f"contract: the code at {proven.contract} is not the contract that this program knows")
    try:
        answer = chain.call(proven.contract, contract.goods_of_data(proven.goods_id), number)
        holder, times = contract.decode_goods_of(answer)
    except (CallReverted, ValueError) as fault:
        raise ChainUnavailable(f"goodsOf answered {fault}") from fault
    if (holder, times) != (proven.holder, len(proven.circs)):
        raise ProofWrong(
            f"the contract counts {times} circs of the goods, held by actor {holder}; the file has "
            f"{len(proven.circs)}, which leave them with actor {proven.holder}"
        )
