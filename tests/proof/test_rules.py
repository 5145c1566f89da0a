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
from node.domain.model import Circ, CircType, Rights
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

ONE = (1).to_bytes(32, "big")
SALT = bytes(16)


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


class Puppet:
    """A puppet that says whatever it is told, and where it said so."""

    def __init__(self, world: World) -> None:
        self._world = world
        address = world.send(None, PUPPET).contract_address
        assert address is not None
        self.address = address
        self.said: list[Source] = []

    def register(self) -> None:
        """Actor 1, called eve."""
        account = bytes(12) + bytes.fromhex(signer.address_of(signer.new_key())[2:])
        rights = int(Rights.CIRCULATE).to_bytes(32, "big")
        self._say([contract.ACTOR_REGISTERED_TOPIC, ONE], account + rights + name_digest("eve"))

    def circulate(self, kind: CircType, version: int) -> None:
        """A circ of the goods by actor 1, with a salt of zeros and no form."""
        numbers = b"".join(number.to_bytes(32, "big") for number in (version, 96, 1, GOODS, 1))
        topics = [contract.CIRCULATED_TOPIC, ONE, ONE, kind.to_bytes(32, "big")]
        self._say(topics, form_digest(SALT, b"") + numbers)

    def _say(self, topics: list[bytes], data: bytes) -> None:
        slot, word = layout.goods_slot(GOODS), (1 << 20 | 1) << GOODS % 8 * 32
        head = b"".join(int(each).to_bytes(32, "big") for each in (len(topics) == 2, slot, word))
        padding = bytes(32) * (4 - len(topics))
        receipt = self._world.send(self.address, head + b"".join(topics) + padding + data)
        (log,) = receipt.logs
        assert (list(log.topics), log.data) == (topics, data)
        self.said.append(Source(receipt.block_number, receipt.block_hash, receipt.tx_index))

    def proof(self) -> ProofFile:
        """What it said, as a proof of one circ."""
        evidence = Evidence(SealedReader(self._world.rpc), lambda _: None)
        head = self._world.chain.head()
        return ProofFile(
            chain_id=self._world.chain_id,
            contract=self.address.lower(),
            goods_id=GOODS,
            blocks=evidence.blocks(self.said, head),
            circs=(ProofCirc(SALT, b""),),
            actors=(ProofActor(1, "eve"),),
            state=evidence.state(head, self.address, layout.goods_slot(GOODS)),
        )


def test_another_contract_that_stores_and_says_the_right_things(tmp_path: Path) -> None:
    with new_world(tmp_path) as world:
        puppet = Puppet(world)
        puppet.register()
        puppet.circulate(PRODUCE, 0)
        proof = puppet.proof()
    with pytest.raises(ProofWrong, match="is not the contract that this program knows"):
        verify(proof)
    assert not verify(replace(proof, state=None)).complete
    # Without a proof of the code the transactions still say which chain they are of.
    with pytest.raises(ProofWrong, match="the file of chain 5"):
        verify(replace(proof, state=None, chain_id=5))


def test_an_actor_that_comes_after_its_circ(tmp_path: Path) -> None:
    with new_world(tmp_path) as world:
        puppet = Puppet(world)
        puppet.circulate(PRODUCE, 0)
        puppet.register()
        with pytest.raises(ProofWrong, match="its operator, actor 1, was not registered yet"):
            verify(replace(puppet.proof(), state=None))


def test_an_event_of_another_address_in_place_of_a_true_one(tmp_path: Path) -> None:
    with new_world(tmp_path) as world:
        world.circulate([GOODS], PRODUCE, "coop")
        hidden = world.circulate([GOODS], PROCESS, "coop", form=b'{"mould": true}')
        proof = make(world.view, world.rpc, world.address, GOODS).proof
        puppet = Puppet(world)
        puppet.circulate(PROCESS, 1)
        kept = [each for each in sources(proof) if each != source_of(world, hidden.tx_hash)]
        wrong = rebuilt(world, proof, [*kept, *puppet.said])
        state = Evidence(SealedReader(world.rpc), lambda _: None).state(
            world.chain.head(), world.address, layout.goods_slot(GOODS)
        )
    wrong = replace(wrong, circs=(proof.circs[0], ProofCirc(SALT, b"")), state=state)
    with pytest.raises(ProofWrong, match="there are 2, the transactions tell of 1 of these goods"):
        verify(wrong)


def test_a_transaction_that_asks_for_another_circ(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """No contract of the known code emits other than it was asked for; it is looked at all the same."""
    decode = contract.decode_circulate

    def another(data: bytes) -> tuple[Circ, bytes]:
        circ, signature = decode(data)
        return replace(circ, to=circ.to + 1), signature

    monkeypatch.setattr(contract, "decode_circulate", another)
    with pytest.raises(ProofWrong, match=r"circs\[0\]: its transaction asks for another circ"):
        verify(given.proof)


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
