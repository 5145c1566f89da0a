"""Forgers who have the whole chain at hand: each part that they give is true, and the whole is a lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import rlp

from node.chain import contract, layout, signer
from node.chain.merkle import read_header
from node.chain.sealed import SealedReader
from node.domain.form import form_digest, name_digest
from node.domain.model import Rights
from node.flow.proof import ProofFile, ProofWrong, believe, make, verify
from node.flow.proof.evidence import Evidence, Source
from node.flow.proof.file import ProofActor, ProofCirc
from tests.audit.world import PROCESS, PRODUCE, TRANSFER, World, new_world
from tests.proof.conftest import GOODS, Given

# A contract that stores the third word of its calldata in the slot that the second names, and logs what is behind
# the seventh with the fourth and fifth as topics, or with the fourth to seventh if the first is 0.
PUPPET = bytes.fromhex("6034600c60003960346000f3") + bytes.fromhex(
    "60403560203555" + "60e036038060e0600037" + "600035602857" + "60c03560a03560803560603584" + "6000a400"
    "5b608035606035826000a200"
)


def sources(proof: ProofFile) -> list[Source]:
    found = []
    for block in proof.blocks:
        header = read_header(block.header)
        found += [Source(header.number, "0x" + header.hash.hex(), each.index) for each in block.transactions]
    return found


def rebuilt(world: World, proof: ProofFile, wanted: Iterable[Source]) -> ProofFile:
    """The proof with these transactions, read from the chain."""
    evidence = Evidence(SealedReader(world.rpc), lambda _: None)
    return replace(proof, blocks=evidence.blocks(wanted, world.chain.head()))


def source_of(world: World, tx_hash: str | None) -> Source:
    assert tx_hash is not None
    (receipt,) = world.chain.receipts([tx_hash])
    assert receipt is not None
    return Source(receipt.block_number, receipt.block_hash, receipt.tx_index)


@pytest.fixture
def circs(world: World) -> list[Source]:
    """The transactions of the goods' circs."""
    return [source_of(world, circ.tx_hash) for circ in world.view.circs(GOODS)[:6]]


def test_the_same_proof_comes_of_the_same_sources(world: World, given: Given) -> None:
    assert rebuilt(world, given.proof, sources(given.proof)) == given.proof


@pytest.mark.parametrize(
    ("left_out", "match"),
    [
        ([0], r"circs\[1\]: stands after 1 others, but its version is 2"),
        ([1], r"circs\[1\]: stands after 1 others, but its version is 2"),
        ([2], r"circs\[3\]: stands after 3 others, but its version is 4"),
        ([3], r"circs\[3\]: stands after 3 others, but its version is 4"),
        ([4], r"circs\[4\]: stands after 4 others, but its version is 5"),
        ([5], r"the contract counts 6 circs of the goods, held by actor 3; the file has 5"),
        ([4, 5], r"the contract counts 6 circs of the goods, held by actor 3; the file has 4"),
        ([0, 1, 2, 3, 4, 5], "there are 0, the transactions tell of 0"),
    ],
)
def test_a_circ_left_out(world: World, given: Given, circs: list[Source], left_out: list[int], match: str) -> None:
    hidden = [circs[place] for place in left_out]
    told = [each for place, each in enumerate(given.proof.circs) if place not in left_out]
    proof = rebuilt(world, given.proof, [each for each in sources(given.proof) if each not in hidden])
    wrong = replace(proof, circs=tuple(told), actors=_actors_of(given.proof, world, left_out))
    with pytest.raises(ProofWrong, match=match):
        verify(wrong)


def _actors_of(proof: ProofFile, world: World, left_out: list[int]) -> tuple[ProofActor, ...]:
    shown = [circ for place, circ in enumerate(world.view.circs(GOODS)[:6]) if place not in left_out]
    names = {name for circ in shown for name in (circ.operator, circ.to)}
    return tuple(each for each in proof.actors if each.username in names)


def test_without_a_proof_of_the_state_versions_tell_what_they_can(
    world: World, given: Given, circs: list[Source]
) -> None:
    """The last circ may be hidden then: it is for the RPC to say."""
    proof = rebuilt(world, given.proof, [each for each in sources(given.proof) if each != circs[5]])
    actors = _actors_of(given.proof, world, [5])
    hiding = replace(proof, circs=given.proof.circs[:5], actors=actors, state=None)
    with pytest.raises(ProofWrong, match="tells nothing of the goods or their actors"):
        verify(hiding)  # the receiver's registration is still there
    wanted = [each for each in sources(hiding) if each != _registration(world, 3)]
    assert not verify(rebuilt(world, hiding, wanted)).complete


def _registration(world: World, actor: int) -> Source:
    topics = [contract.ACTOR_REGISTERED_TOPIC, actor.to_bytes(32, "big")]
    (log,) = world.chain.logs(world.address, topics, 0, world.chain.head().number)
    return Source(log.block_number, log.block_hash, log.tx_index)


def test_a_registration_left_out(world: World, given: Given) -> None:
    proof = rebuilt(world, given.proof, [each for each in sources(given.proof) if each != _registration(world, 4)])
    with pytest.raises(ProofWrong, match="the registration of actor 4 is missing"):
        verify(proof)


def test_a_change_of_account_left_out(world: World, given: Given) -> None:
    """The circ is proven all the same, but not by its operator's key: nobody is shown as its signer who isn't."""
    topics = [contract.ACCOUNT_CHANGED_TOPIC, (1).to_bytes(32, "big")]
    (log,) = world.chain.logs(world.address, topics, 0, world.chain.head().number)
    change = Source(log.block_number, log.block_hash, log.tx_index)
    proof = rebuilt(world, given.proof, [each for each in sources(given.proof) if each != change])
    assert [circ.signer is not None for circ in verify(given.proof).circs] == [True, True, True, True, False, True]
    assert [circ.signer is not None for circ in verify(proof).circs] == [True, True, True, False, False, True]


def test_a_transaction_beside_the_point(world: World, given: Given) -> None:
    rights = world.chain.logs(world.address, [contract.RIGHTS_CHANGED_TOPIC], 0, world.chain.head().number)
    late = world.chain.logs(
        world.address, [contract.ACCOUNT_CHANGED_TOPIC, (2).to_bytes(32, "big")], 0, world.chain.head().number
    )
    for log in (*rights, *late):
        more = Source(log.block_number, log.block_hash, log.tx_index)
        proof = rebuilt(world, given.proof, [*sources(given.proof), more])
        with pytest.raises(ProofWrong, match="tells nothing of the goods or their actors"):
            verify(proof)


def test_a_block_beside_the_point(world: World, given: Given) -> None:
    raw, _ = SealedReader(world.rpc).header(0)
    block = replace(given.proof.blocks[0], header=raw, transactions=())
    with pytest.raises(ProofWrong, match="has no transaction, and only the last block may have none"):
        verify(replace(given.proof, blocks=(block, *given.proof.blocks)))


def test_a_block_that_is_nobodys_parent(given: Given) -> None:
    """Only the last of blocks in a row is trusted; those before it must be what it names."""
    rows = 0
    for place, block in enumerate(given.proof.blocks[:-1]):
        header = rlp.decode(block.header)
        follows = read_header(given.proof.blocks[place + 1].header).number == read_header(block.header).number + 1
        header[12] = b"another"  # extraData, which nothing else depends on
        blocks = list(given.proof.blocks)
        blocks[place] = replace(block, header=rlp.encode(header))
        forged = replace(given.proof, blocks=tuple(blocks))
        if follows:
            rows += 1
            with pytest.raises(ProofWrong, match="is no child of the block"):
                verify(forged)
        else:
            with pytest.raises(ProofWrong, match="no block of the file has the hash"):
                believe(verify(forged), given.hashes)
    assert rows > 2


def test_two_blocks_of_one_height(given: Given) -> None:
    first = given.proof.blocks[0]
    header = rlp.decode(first.header)
    header[12] = b"another"
    with pytest.raises(ProofWrong, match="stands behind block"):
        verify(replace(given.proof, blocks=(replace(first, header=rlp.encode(header)), *given.proof.blocks)))


def test_a_reverted_transaction(world: World, given: Given) -> None:
    failed = world.view.circs(GOODS)[6]
    proof = rebuilt(world, given.proof, [*sources(given.proof), source_of(world, failed.tx_hash)])
    with pytest.raises(ProofWrong, match="was reverted"):
        verify(proof)


def test_other_goods_of_the_same_circs(given: Given) -> None:
    """Goods 18 went along for three of the six."""
    with pytest.raises(ProofWrong, match="there are 6, the transactions tell of 3 of these goods"):
        verify(replace(given.proof, goods_id=18))


def test_a_puppet_that_says_whatever_it_is_told(tmp_path: Path) -> None:
    """It stores the right word and emits the right events; what it isn't is the contract."""
    with new_world(tmp_path) as world:
        puppet = world.send(None, PUPPET).contract_address
        assert puppet is not None
        salt, account = bytes(16), signer.address_of(signer.new_key())
        wanted = []

        def say(topics: list[bytes], data: bytes) -> None:
            slot, word = layout.goods_slot(GOODS), (1 << 20 | 1) << GOODS % 8 * 32
            head = [len(topics) == 2, slot, word]
            padded = [*topics, *[bytes(32)] * (4 - len(topics))]
            receipt = world.send(
                puppet, b"".join(int(each).to_bytes(32, "big") for each in head) + b"".join(padded) + data
            )
            assert receipt.status
            (log,) = receipt.logs
            assert (list(log.topics), log.data) == (topics, data)
            wanted.append(Source(receipt.block_number, receipt.block_hash, receipt.tx_index))

        one, rights = (1).to_bytes(32, "big"), int(Rights.CIRCULATE).to_bytes(32, "big")
        say(
            [contract.ACTOR_REGISTERED_TOPIC, one], bytes(12) + bytes.fromhex(account[2:]) + rights + name_digest("eve")
        )
        numbers = b"".join(number.to_bytes(32, "big") for number in (0, 96, 1, GOODS, 1))
        say([contract.CIRCULATED_TOPIC, one, one, bytes(32)], form_digest(salt, b"") + numbers)
        evidence = Evidence(SealedReader(world.rpc), lambda _: None)
        head = world.chain.head()
        proof = ProofFile(
            chain_id=world.chain_id,
            contract=puppet.lower(),
            goods_id=GOODS,
            blocks=evidence.blocks(wanted, head),
            circs=(ProofCirc(salt, b""),),
            actors=(ProofActor(1, "eve"),),
            state=evidence.state(head, puppet, layout.goods_slot(GOODS)),
        )
        with pytest.raises(ProofWrong, match="is not the contract that this program knows"):
            verify(proof)
        assert verify(replace(proof, state=None)).complete is False


def test_a_circ_through_a_relay_is_told_by_its_event(given: Given) -> None:
    (relayed,) = [circ for circ in verify(given.proof).circs if circ.signer is None]
    assert (relayed.circ.circ_type, relayed.operator) == (PROCESS, "exporter")


def test_custody_goes_from_holder_to_holder(tmp_path: Path) -> None:
    """Of circs of several goods the versions can't tell that one is missing; who held the goods can."""
    with new_world(tmp_path) as world:
        world.circulate([1, 2], PRODUCE, "coop")
        transfer = world.circulate([1, 2], TRANSFER, "coop", "exporter")
        world.circulate([1, 2], PROCESS, "exporter")
        proof = make(world.view, world.rpc, world.address, 1).proof
        assert verify(proof).holder_name == "exporter"
        hidden = source_of(world, transfer.tx_hash)
        wrong = rebuilt(world, proof, [each for each in sources(proof) if each != hidden])
        wrong = replace(wrong, circs=(proof.circs[0], proof.circs[2]), state=None)
        with pytest.raises(ProofWrong, match=r"circs\[1\]: its operator, actor 2, does not hold the goods"):
            verify(wrong)
