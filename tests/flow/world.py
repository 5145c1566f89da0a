"""A node in this process on an Anvil, and what its tests do to both."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from node.app import Node, Ready
from node.chain import contract, signer
from node.chain.fees import Fees
from node.chain.rpc import Chain
from node.chain.transport import HttpRpc, RpcError
from node.config import Config
from node.domain.custody import GoodsState
from node.domain.model import Rights
from node.domain.records import UNFINISHED
from node.store import circs, outbox
from tests.chain.echo import mined
from tests.chain.servers import fund
from tests.support.node import eventually
from tests.support.wire_client import WireClient

FATAL_SECONDS_MAX = 60
REGISTRAR_ROLE = keccak(b"REGISTRAR_ROLE")
GRANT_ROLE = keccak(b"grantRole(bytes32,address)")[:4]
FIRST_IN_BLOCK_WEI = 10**12
"""A tip above any that the node offers, so that Anvil puts the transaction first."""


@dataclass
class Net:
    """An Anvil with an account of a fresh key, which pays for the node."""

    url: str
    rpc: HttpRpc
    chain: Chain
    key_file: Path
    key: bytes = field(default_factory=signer.new_key)

    def ask(self, method: str, *params: Any) -> Any:
        (answer,) = self.rpc.batch([(method, list(params))])
        if isinstance(answer, RpcError):
            raise answer
        return answer

    def mining(self, on: bool) -> None:
        self.ask("evm_setAutomine", on)

    def mine(self, blocks: int = 1) -> None:
        self.ask("anvil_mine", hex(blocks))

    def settle(self) -> None:
        """Mine until the node has nothing under way.

        Anvil sometimes files a transaction as waiting for its predecessor for good, also when that is mined; then it
        loses its pool, as any chain may, and the node hands over all that is in no block again.
        """
        looks = itertools.count(1)

        def is_quiet() -> bool:
            if next(looks) % 100 == 0:
                self.ask("anvil_dropAllTransactions")
            self.mine()
            return outbox.count(UNFINISHED) == 0

        eventually(is_quiet, 120)

    def goods(self, address: str, goods_id: int) -> GoodsState:
        """What the contract says of goods."""
        return GoodsState(*contract.decode_goods_of(self.chain.call(address, contract.goods_of_data(goods_id))))

    def in_pool(self, tx_hash: str) -> bool:
        (known,) = self.chain.transactions([tx_hash])
        return known is not None


@contextmanager
def net_at(url: str, folder: Path, *, funded: bool = True) -> Iterator[Net]:
    rpc = HttpRpc(url)
    net = Net(url, rpc, Chain(rpc), folder / "signer.key")
    net.key_file.touch(0o600)
    net.key_file.write_text(net.key.hex())
    try:
        if funded:
            fund(rpc, signer.address_of(net.key))
        yield net
    finally:
        rpc.close()


@dataclass
class Running:
    """A started node with a client."""

    node: Node
    ready: Ready
    client: WireClient
    fatal: threading.Event

    def fault(self) -> BaseException:
        """Why the node can't go on; waits for it."""
        assert self.fatal.wait(FATAL_SECONDS_MAX)
        assert self.node.fault is not None
        return self.node.fault


def config(data_dir: Path, url: str, key_file: Path | None = None, confirmations: int = 1) -> Config:
    return Config(
        data_dir=data_dir,
        grpc="127.0.0.1:0",
        http="127.0.0.1:0",
        chain=url,
        confirmations=confirmations,
        signer_keys=(key_file,) if key_file else (),
    )


@contextmanager
def started(given: Config) -> Iterator[Running]:
    """A node for the length of a block."""
    fatal = threading.Event()
    node = Node(given, on_fatal=fatal.set)
    try:
        ready = node.start()
        client = WireClient(ready.grpc)
        try:
            yield Running(node, ready, client, fatal)
        finally:
            client.close()
    finally:
        node.stop()


def in_index(goods_id: int) -> GoodsState:
    """What the index of the node in this process says of goods."""
    state, _ = circs.custody([goods_id])[goods_id]
    return state


class Registrar:
    """Another account with REGISTRAR_ROLE, made so behind the node's back while the node has nothing to do."""

    def __init__(self, net: Net, address: str) -> None:
        self._net = net
        self._contract = address
        self._key = signer.new_key()
        self._nonce = 0
        own = signer.address_of(self._key)
        fund(net.rpc, own)
        admin = signer.address_of(net.key)
        nonce = net.chain.transaction_count(admin)
        net.ask("anvil_impersonateAccount", admin)
        data = GRANT_ROLE + REGISTRAR_ROLE + bytes.fromhex(own[2:]).rjust(32, b"\0")
        granted = net.ask("eth_sendTransaction", {"from": admin, "to": address, "data": "0x" + data.hex()})
        mined(net.chain, [granted])
        net.ask("anvil_stopImpersonatingAccount", admin)
        net.ask("anvil_setNonce", admin, hex(nonce))

    def send(self, data: bytes) -> str:
        """Call the contract, ahead of all that waits; answers the hash."""
        signed = signer.sign_transaction(
            self._key,
            chain_id=self._net.chain.chain_id(),
            nonce=self._nonce,
            to=self._contract,
            data=data,
            gas=200_000,
            fees=Fees(2 * FIRST_IN_BLOCK_WEI, FIRST_IN_BLOCK_WEI),
        )
        self._nonce += 1
        assert self._net.chain.send([signed.raw]) == [None]
        return signed.hash

    def set_rights(self, actor: int, rights: Rights) -> str:
        return self.send(contract.set_rights_data(actor, rights))
