"""What a proof leaves to be believed, and who may say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.chain.rpc import Chain, ChainUnavailable
from node.chain.transport import METHOD_NOT_FOUND, Call, RpcError
from node.flow.proof import ProofWrong, ask, believe, make, read, verify, write
from tests.audit.world import Tampered, World
from tests.proof.conftest import GOODS, Given


class _Silent:
    """An endpoint that can't be reached."""

    def batch(self, _: list[Call]) -> list[Any]:
        raise ChainUnavailable("nobody answers")

    def close(self) -> None:
        """Nothing to close."""


def _answers(method: str, change: Callable[[list[Any], Any], Any]) -> Callable[[str, list[Any], Any], Any]:
    return lambda asked, params, answer: change(params, answer) if asked == method else answer


def _no_proofs(world: World) -> Tampered:
    absent = RpcError(METHOD_NOT_FOUND, "no such method")
    return Tampered(world.rpc, _answers("eth_getProof", lambda _params, _answer: absent))


def test_of_blocks_in_a_row_the_last_is_enough(given: Given) -> None:
    proven = verify(given.proof)
    assert 1 < len(given.hashes) < len(proven.blocks)
    assert believe(proven, given.hashes).is_whole
    assert believe(proven, [block.hash for block in proven.blocks]).is_whole
    assert believe(proven, [each.upper().replace("X", "x", 1) for each in given.hashes]).is_whole
    for hidden in given.hashes:
        trust = believe(proven, [each for each in given.hashes if each != hidden])
        assert not trust.is_whole
        assert [block.hash for block in trust.open_blocks] == [hidden]


def test_a_hash_of_no_block_of_the_file_is_wrong(given: Given) -> None:
    with pytest.raises(ProofWrong, match="no block of the file has the hash 0xabab"):
        believe(verify(given.proof), [*given.hashes, "0x" + "ab" * 32])


def test_an_rpc_with_other_blocks_makes_the_proof_wrong(world: World, given: Given) -> None:
    proven = verify(given.proof)
    other = Tampered(world.rpc, _answers("eth_getBlockByNumber", lambda _, block: block | {"hash": "0x" + "ab" * 32}))
    with pytest.raises(ProofWrong, match="for the RPC"):
        ask(proven, believe(proven, []), Chain(other))
    # What was given is not asked for.
    assert ask(proven, believe(proven, given.hashes), Chain(other)).is_whole


def test_an_rpc_of_another_chain_makes_the_proof_wrong(world: World, given: Given) -> None:
    proven = verify(given.proof)
    with pytest.raises(ProofWrong, match="the RPC serves chain 9"):
        ask(proven, believe(proven, []), Chain(Tampered(world.rpc, _answers("eth_chainId", lambda *_: "0x9"))))


def test_an_rpc_that_does_not_know_leaves_it_open(world: World, given: Given) -> None:
    proven = verify(given.proof)
    young = Tampered(world.rpc, _answers("eth_getBlockByNumber", lambda *_: None))
    trust = ask(proven, believe(proven, []), Chain(young))
    assert trust.open_blocks == believe(proven, []).open_blocks
    assert "not so long" in trust.unchecked[0]
    silent = ask(proven, believe(proven, []), Chain(_Silent()))
    assert silent.unchecked == ("the chain can't be asked: nobody answers",)
    assert not trust.is_whole
    assert not silent.is_whole


def test_without_state_proofs_completeness_rests_on_an_rpc(world: World, given: Given) -> None:
    made = make(world.view, _no_proofs(world), world.address, GOODS)
    assert any("rests on an RPC" in note for note in made.notes)
    data = write(made.proof)
    assert b'"state":"rests on an RPC"' in data
    assert made.proof == replace(given.proof, state=None)
    proven = verify(read(data))
    trust = believe(proven, given.hashes)
    assert not trust.open_blocks
    assert not trust.is_whole
    assert ask(proven, trust, Chain(world.rpc)).is_whole


def _one_less(_: Any, answer: str) -> str:
    return f"0x{int(answer, 16) + 1:0{len(answer) - 2}x}"


@pytest.mark.parametrize(
    ("method", "change", "match"),
    [
        ("eth_call", _one_less, "the contract counts 7 circs"),
        ("eth_getCode", lambda _, code: code[:-2] + "ff", "not the contract that this program knows"),
        ("eth_getCode", lambda *_: "0x", "not the contract that this program knows"),
    ],
)
def test_an_rpc_that_counts_otherwise_makes_it_wrong(
    world: World, given: Given, method: str, change: Any, match: str
) -> None:
    proven = verify(replace(given.proof, state=None))
    trust = believe(proven, given.hashes)
    with pytest.raises(ProofWrong, match=match):
        ask(proven, trust, Chain(Tampered(world.rpc, _answers(method, change))))


def test_an_rpc_that_has_forgotten_the_state_leaves_it_open(world: World, given: Given) -> None:
    proven = verify(replace(given.proof, state=None))
    pruned = RpcError(-32000, "missing trie node")
    for method in ("eth_getCode", "eth_call"):
        trust = ask(
            proven, believe(proven, given.hashes), Chain(Tampered(world.rpc, _answers(method, lambda *_: pruned)))
        )
        assert not trust.complete
        assert "missing trie node" in trust.unchecked[0]
