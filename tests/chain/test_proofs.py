"""Headers, tries and envelopes as chains have them: every kind of transaction, on each chain; and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_hash.auto import keccak
from eth_utils.address import to_canonical_address
from hypothesis import given, settings
from hypothesis import strategies as st

from node.chain import contract, layout, shape
from node.chain.envelope import header_raw, read_receipt, read_transaction, receipt_raw, transaction_raw
from node.chain.merkle import IndexTrie, account_of, index_key, read_header, value_of, way_to, word_at
from node.chain.rpc import Chain, HttpRpc
from node.chain.sealed import SealedReader
from node.chain.transport import INVALID_PARAMS, ChainUnavailable, JsonRpc, RpcError
from tests.audit.world import PRODUCE, Tampered, new_world

from .echo import CREATION, Sender, mined, word
from .servers import anvil, embedded, fund, hardhat

EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
NOWHERE = "0x" + "77" * 20
# Stores the second word of its calldata in the slot that the first one names.
STORE = bytes.fromhex("6007600c60003960076000f3") + bytes.fromhex("60203560003555")


@dataclass
class Net:
    name: str
    rpc: JsonRpc
    chain: Chain
    sender: Sender

    def create(self, code: bytes) -> str:
        signed = self.sender.sign(self.chain.chain_id(), None, code)
        assert self.chain.send([signed.raw]) == [None]
        (receipt,) = mined(self.chain, [signed.hash])
        assert receipt.contract_address is not None
        return receipt.contract_address

    def send(self, **fields: Any) -> tuple[bytes, int]:
        """Sign a transaction of any kind and have it mined; its bytes and its block."""
        nonce, self.sender.nonce = self.sender.nonce, self.sender.nonce + 1
        base = {"nonce": nonce, "gas": 200_000, "value": 1, "chainId": self.chain.chain_id()}
        signed = Account.sign_transaction(base | fields, self.sender.key)
        raw, tx_hash = bytes(signed.raw_transaction), "0x" + bytes(signed.hash).hex()
        assert self.chain.send([raw]) == [None]
        (receipt,) = mined(self.chain, [tx_hash])
        assert receipt.status
        return raw, receipt.block_number

    def ask(self, method: str, *params: Any) -> Any:
        (answer,) = self.rpc.batch([(method, list(params))])
        if isinstance(answer, RpcError):
            raise answer
        return answer


@pytest.fixture(scope="module", params=["embedded", "anvil", "hardhat"])
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    sender = Sender()
    if request.param == "embedded":
        path: Path = tmp_path_factory.mktemp("chain") / "chain.db"
        with embedded(path, sender.address) as rpc:
            yield Net("embedded", rpc, Chain(rpc), sender)
        return
    with (anvil if request.param == "anvil" else hardhat)() as url:
        http = HttpRpc(url)
        try:
            fund(http, sender.address)
            yield Net(request.param, http, Chain(http), sender)
        finally:
            http.close()


def test_every_kind_of_transaction_is_proven(net: Net) -> None:
    fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 1}
    access = [{"address": NOWHERE, "storageKeys": ["0x" + "01" * 32, "0x" + "02" * 32]}]
    kinds: dict[int, dict[str, Any]] = {
        0: {"gasPrice": 10**11, "to": NOWHERE, "data": b"old"},
        1: {"gasPrice": 10**11, "to": NOWHERE, "accessList": access},
        2: {"to": NOWHERE, "data": b"new", "accessList": access, **fees},
    }
    if net.name == "anvil":
        permit = Account.sign_authorization({"chainId": 0, "address": NOWHERE, "nonce": 0}, Sender().key)
        kinds[4] = {"to": NOWHERE, "authorizationList": [permit], **fees}
    reader = SealedReader(net.rpc)
    for kind, fields in kinds.items():
        raw, number = net.send(**fields)
        sealed = reader.block(number)
        index = sealed.hashes.index("0x" + keccak(raw).hex())
        nodes = sealed.transactions.proof(index)
        assert value_of(sealed.header.transactions_root, index_key(index), nodes) == raw
        found = read_transaction(raw)
        assert (found.to or "").lower() == NOWHERE
        assert (found.chain_id, found.input) == (net.chain.chain_id(), fields.get("data", b""))
        receipt = value_of(sealed.header.receipts_root, index_key(index), sealed.receipts.proof(index))
        assert receipt[0] == kind or (kind == 0 and receipt[0] >= 0xC0)
        assert read_receipt(receipt).status


def test_a_receipt_tells_status_and_logs(net: Net) -> None:
    echo = net.create(CREATION)
    signed = [net.sender.sign(net.chain.chain_id(), echo, data) for data in (word(1) + word(2) + b"!", b"")]
    net.chain.send([each.raw for each in signed])
    kept, reverted = mined(net.chain, [each.hash for each in signed])
    read = []
    for receipt in (kept, reverted):
        sealed = SealedReader(net.rpc).block(receipt.block_number)
        key, nodes = index_key(receipt.tx_index), sealed.receipts.proof(receipt.tx_index)
        read.append(read_receipt(value_of(sealed.header.receipts_root, key, nodes)))
    assert [each.status for each in read] == [True, False]
    (log,) = read[0].logs
    assert (log.address, log.topics, log.data) == (echo, (word(1), word(2)), word(1) + word(2) + b"!")


def test_the_header_of_every_block_gives_its_hash(net: Net) -> None:
    net.send(to=NOWHERE, maxFeePerGas=10**11, maxPriorityFeePerGas=1)
    head = net.chain.head()
    for number in range(head.number + 1):
        _, header = SealedReader(net.rpc).header(number)
        block = net.chain.block(number)
        assert block is not None
        assert ("0x" + header.hash.hex(), header.number) == (block.hash, number)
        assert ("0x" + header.parent_hash.hex(), header.timestamp) == (block.parent_hash, block.timestamp)


def test_a_word_of_storage_is_proven(net: Net) -> None:
    store = net.create(STORE)
    values = {0: 7, 1: 2**255, 5: 1, 2**200: 0x80}
    for slot, value in values.items():
        net.send(to=store, value=0, data=word(slot) + word(value), maxFeePerGas=10**11, maxPriorityFeePerGas=1)
    head = net.chain.head()
    reader = SealedReader(net.rpc)
    _, header = reader.header(head.number)
    for slot, value in values.items():
        proof = reader.state(header, store, slot)
        assert proof is not None
        account = account_of(header.state_root, to_canonical_address(store), proof.account)
        assert account.code_hash == keccak(net.chain.code(store))
        assert word_at(account.storage_root, slot, proof.storage) == value
        with pytest.raises(ValueError, match="proof"):
            word_at(account.storage_root, slot + 9, proof.storage)
    with pytest.raises(ChainUnavailable, match="does not fit block"):
        reader.state(header, store, 8)


def test_what_is_not_there_is_proven_too(net: Net) -> None:
    """By the nodes that lead to where it would be; EIP-1186 wants them."""
    store = net.create(STORE)
    net.send(to=store, value=0, data=word(3) + word(4), maxFeePerGas=10**11, maxPriorityFeePerGas=1)
    there = net.ask("eth_getProof", store, [f"0x{3:064x}", f"0x{4:064x}"], "latest")
    assert [int(each["value"], 16) for each in there["storageProof"]] == [4, 0]
    assert int(there["nonce"], 16) == 1
    nobody = net.ask("eth_getProof", "0x" + "ab" * 20, [], "latest")
    assert (int(nobody["balance"], 16), int(nobody["nonce"], 16), nobody["storageProof"]) == (0, 0, [])
    root = bytes.fromhex(net.ask("eth_getBlockByNumber", "latest", False)["stateRoot"][2:])
    nodes = [bytes.fromhex(node[2:]) for node in nobody["accountProof"]]
    value, way = way_to({keccak(node): node for node in nodes}, root, keccak(b"\xab" * 20))
    assert (value, way) == (b"", nodes)


def test_the_embedded_chain_shows_an_empty_account(tmp_path: Path) -> None:
    sender = Sender()
    with embedded(tmp_path / "chain.db", sender.address) as rpc:
        (nobody, short, many, bad, receipts, later) = rpc.batch(
            [
                ("eth_getProof", ["0x" + "ab" * 20, ["0x0"], "latest"]),
                ("eth_getProof", ["0x12", [], "latest"]),
                ("eth_getProof", [NOWHERE, ["0x0"] * 101, "latest"]),
                ("eth_getProof", [NOWHERE, "0x0", "latest"]),
                ("eth_getBlockReceipts", ["latest"]),
                ("eth_getBlockReceipts", ["0x99"]),
            ]
        )
    assert (nobody["storageHash"], nobody["codeHash"]) == (EMPTY_ROOT, "0x" + keccak(b"").hex())
    assert nobody["storageProof"] == [{"key": "0x" + "00" * 32, "value": "0x0", "proof": []}]
    assert [each.code for each in (short, many, bad)] == [INVALID_PARAMS] * 3
    assert "want at most 100 slots, got 101" in many.message
    assert (receipts, later) == ([], None)


def test_the_layout_is_the_contracts(tmp_path: Path) -> None:
    """goodsOf and the words of the storage say the same, in every lane."""
    with new_world(tmp_path) as world:
        world.circulate(range(3, 20), PRODUCE, "coop")
        world.circulate([5, 7, 16], PRODUCE, "coop", "grader")
        for goods_id in range(1, 25):
            slot = layout.goods_slot(goods_id)
            (stored,) = world.rpc.batch([("eth_getStorageAt", [world.address, hex(slot), "latest"])])
            said = contract.decode_goods_of(world.chain.call(world.address, contract.goods_of_data(goods_id)))
            assert layout.goods_in_word(int(stored, 16), goods_id) == said
        code = world.chain.code(world.address)
        assert contract.runtime_code(world.chain_id, world.address.lower()) == code
        assert contract.runtime_code(world.chain_id + 1, world.address) != code


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(min_size=33, max_size=120), min_size=1, max_size=300), st.data())
def test_a_trie_proves_each_of_its_values_and_no_other(values: list[bytes], data: st.DataObject) -> None:
    trie = IndexTrie(values)
    index = data.draw(st.integers(0, len(values) - 1))
    nodes = trie.proof(index)
    assert value_of(trie.root, index_key(index), nodes) == values[index]
    for wrong in (nodes[:-1], nodes[1:], [*nodes, nodes[-1]], [*nodes, b"\x80"], [], [b"", *nodes], nodes * 65):
        with pytest.raises(ValueError, match="proof"):
            value_of(trie.root, index_key(index), wrong)
    for key in (index_key(len(values)), index_key(index) + b"\x00", b""):
        with pytest.raises(ValueError, match="proof"):
            value_of(trie.root, key, nodes)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=4), st.binary(max_size=40))
def test_nodes_that_are_none_prove_nothing(nodes: list[bytes], key: bytes) -> None:
    root = keccak(nodes[0]) if nodes else b"\0" * 32
    with pytest.raises(ValueError, match="proof"):
        value_of(root, key, [*nodes, b"\xc0"])


@settings(deadline=None)
@given(st.binary(max_size=700))
def test_bytes_that_are_nothing_are_refused(raw: bytes) -> None:
    for read in (read_header, read_receipt):
        with pytest.raises(ValueError, match=r"."):
            read(raw)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["0x", "0x0", "0x01", "0x2"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "logs", "nonce"]), inner),
    max_leaves=8,
)


@given(_JSON)
def test_json_that_is_nothing_is_refused(value: Any) -> None:
    for make in (header_raw, transaction_raw, receipt_raw):
        with pytest.raises(shape.ShapeError):
            make(value)


def test_a_kind_that_is_not_known(net: Net) -> None:
    """Of a proven transaction of a later kind only the hash is told; a block that holds one can't be taken apart."""
    raw = b"\x7e" + rlp.encode([b"deposit"])
    assert read_transaction(raw).hash == keccak(raw)
    assert read_transaction(raw).to is None
    _, number = net.send(to=NOWHERE, maxFeePerGas=10**11, maxPriorityFeePerGas=1)

    def later(method: str, params: list[Any], answer: Any) -> Any:
        if method != "eth_getBlockByNumber" or not params[1]:
            return answer
        return answer | {"transactions": [answer["transactions"][0] | {"type": "0x7e"}]}

    with pytest.raises(ChainUnavailable, match="is a transaction of kind 126, want one of 0 to 4"):
        SealedReader(Tampered(net.rpc, later)).block(number)
