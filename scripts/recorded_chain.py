"""A chain of many circs that was never mined, played back over JSON-RPC to whoever rebuilds an index from it.

It has what ``vtrace reindex`` asks a network for: the contract's code, its events, transactions and receipts, as long
and as many as those of a real one, in blocks of a thousand. Each circ is of one goods in a transaction of its own.
Nothing of it is signed: the transactions' bytes give their hashes, and that is what an index holds them to.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import rlp
from eth_hash.auto import keccak

from node.chain import contract
from node.domain.form import ProducedClass, ProducedOrg, ProducedSerial, ProduceForm, form_digest, name_digest, rfc3339
from node.domain.model import Circ, CircType, Range, Rights

CHAIN_ID = 31_337
GOODS = 2_000
PER_BLOCK = 1_000
FIRST_SECONDS = 1_700_000_000
CONTRACT = "0xC0C0c0c0C0C0c0c0c0C0c0C0C0C0C0C0C0C0c0c0"
ACCOUNT = "0x" + "ab" * 20
USERNAME = "u" + "0" * 16
GAS = 80_000
FEE = 10**9
FORM = b'{"step":"drying","hours":%d}'
DEPLOYED, REGISTERED, PRODUCED, CIRCS = range(4)
"""Nonces of the signer: what made the contract, its actor and its goods, and the first circ of one goods. Each of the
first three is alone in the block of that number, beginning with 1."""
FIRST_BLOCK = 4


class RecordedChain:
    """So many circs, and the answers about them. ``signer`` is whose transactions they are."""

    def __init__(self, signer: str, circs: int) -> None:
        self.signer = signer
        self.circs = circs
        self.head = FIRST_BLOCK - 1 + -(-circs // PER_BLOCK)
        self._hashes = [self._signed(nonce)[0] for nonce in range(CIRCS + circs)]
        self._nonces = {tx_hash: nonce for nonce, tx_hash in enumerate(self._hashes)}
        self._made = [_json(self._transaction_at(nonce)) for nonce in range(CIRCS + circs)]
        self._told = [_json(self._log(nonce)) for nonce in range(CIRCS + circs)]

    def forms(self) -> Iterator[tuple[bytes, bytes]]:
        """Salt and form of every circ."""
        return (form_of(nonce) for nonce in range(PRODUCED, CIRCS + self.circs))

    def answer(self, method: str, params: list[Any]) -> bytes:
        """The result of one call as JSON; KeyError for what this chain does not know."""
        result = _METHODS[method](self, *params)
        return result if isinstance(result, bytes) else _json(result)

    def _block_of(self, nonce: int) -> int:
        return nonce + 1 if nonce < CIRCS else FIRST_BLOCK + (nonce - CIRCS) // PER_BLOCK

    def _nonces_of(self, block: int) -> range:
        if block < FIRST_BLOCK:
            return range(block - 1, block) if block else range(0)
        first = CIRCS + (block - FIRST_BLOCK) * PER_BLOCK
        return range(first, min(first + PER_BLOCK, CIRCS + self.circs))

    def _signed(self, nonce: int) -> tuple[bytes, bytes, bytes]:
        """Hash, data, and 64 bytes in the place of a signature."""
        data, to = _data(nonce, self.signer), b"" if nonce == DEPLOYED else bytes.fromhex(CONTRACT[2:])
        mark = hashlib.sha512(b"signature %d" % nonce).digest()
        r, s = mark[:32].lstrip(b"\0"), mark[32:].lstrip(b"\0")
        numbers = (CHAIN_ID, nonce, 1, FEE, GAS)
        fields = [*map(_bytes, numbers), to, b"", data, [], b"", r, s]
        return keccak(b"\x02" + rlp.encode(fields)), data, mark

    def _transaction(self, tx_hash: str) -> bytes:
        nonce = self._nonces.get(bytes.fromhex(tx_hash[2:]))
        return b"null" if nonce is None else self._made[nonce]

    def _transaction_at(self, nonce: int) -> dict[str, Any]:
        tx_hash, data, mark = self._signed(nonce)
        block = self._block_of(nonce)
        return {
            "type": "0x2",
            "chainId": hex(CHAIN_ID),
            "nonce": hex(nonce),
            "gas": hex(GAS),
            "maxFeePerGas": hex(FEE),
            "maxPriorityFeePerGas": "0x1",
            "to": None if nonce == DEPLOYED else CONTRACT,
            "value": "0x0",
            "accessList": [],
            "input": "0x" + data.hex(),
            "r": hex(int.from_bytes(mark[:32], "big")),
            "s": hex(int.from_bytes(mark[32:], "big")),
            "yParity": "0x0",
            "v": "0x0",
            "hash": "0x" + tx_hash.hex(),
            "blockHash": _block_hash(block),
            "blockNumber": hex(block),
            "transactionIndex": hex(nonce - self._nonces_of(block).start),
            "from": self.signer,
            "gasPrice": hex(FEE),
        }

    def _receipt(self, tx_hash: str) -> Any:
        nonce = self._nonces.get(bytes.fromhex(tx_hash[2:]))
        if nonce is None:
            return None
        block = self._block_of(nonce)
        return {
            "transactionHash": tx_hash,
            "blockNumber": hex(block),
            "blockHash": _block_hash(block),
            "transactionIndex": hex(nonce - self._nonces_of(block).start),
            "status": "0x1",
            "gasUsed": hex(GAS),
            "contractAddress": CONTRACT if nonce == DEPLOYED else None,
            "logs": [self._log(nonce)],
        }

    def _log(self, nonce: int) -> dict[str, Any]:
        block = self._block_of(nonce)
        place = hex(nonce - self._nonces_of(block).start)
        topics, data = _event(nonce)
        return {
            "address": CONTRACT,
            "topics": topics,
            "data": data,
            "blockNumber": hex(block),
            "blockHash": _block_hash(block),
            "transactionHash": "0x" + self._hashes[nonce].hex(),
            "transactionIndex": place,
            "logIndex": place,
            "removed": False,
        }

    def _logs(self, query: dict[str, Any]) -> bytes:
        first, last = int(query["fromBlock"], 16), min(int(query["toBlock"], 16), self.head)
        found = (self._told[nonce] for block in range(first, last + 1) for nonce in self._nonces_of(block))
        return b"[" + b",".join(found) + b"]"

    def _block(self, tag: str, _whole: bool) -> Any:
        number = self.head if tag == "latest" else int(tag, 16)
        return (
            None
            if number > self.head
            else {
                "number": hex(number),
                "hash": _block_hash(number),
                "parentHash": _block_hash(number - 1),
                "timestamp": hex(FIRST_SECONDS + number),
                "baseFeePerGas": hex(FEE - 1),
                "gasLimit": hex(10**9),
            }
        )

    def _count(self, account: str, tag: str) -> str:
        if account.lower() != self.signer.lower():
            return "0x0"
        block = self.head if tag in ("latest", "pending") else int(tag, 16)
        return hex(self._nonces_of(block).stop if block else 0)

    def _code(self, address: str, tag: str) -> str:
        is_there = address == CONTRACT and (tag == "latest" or int(tag, 16) > 0)
        return "0x" + contract.runtime_code(CHAIN_ID, CONTRACT).hex() if is_there else "0x"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _word(number: int) -> str:
    return f"0x{number:064x}"


@cache
def _block_hash(number: int) -> str:
    return "0x" + hashlib.sha256(b"block %d" % number).hexdigest()


def form_of(nonce: int) -> tuple[bytes, bytes]:
    salt = hashlib.sha256(b"salt %d" % nonce).digest()[:16]
    return salt, _produce_form() if nonce == PRODUCED else FORM % nonce


@cache
def _produce_form() -> bytes:
    when = ProducedSerial(1, rfc3339(FIRST_SECONDS * 1_000_000))
    org = ProducedOrg(1, "Recorded cooperative", "91350100M000100Y43")
    return ProduceForm(ProducedClass(1, "Arabica", "{}", "", 0), when, org).to_bytes()


def _circ(nonce: int) -> Circ:
    digest = form_digest(*form_of(nonce))
    if nonce == PRODUCED:
        return Circ((Range(1, GOODS),), CircType.PRODUCE, 1, 1, digest, 0)
    times, place = divmod(nonce - CIRCS, GOODS)
    return Circ((Range(1 + place, 1),), CircType.PROCESS, 1, 1, digest, times + 1)


def _data(nonce: int, signer: str) -> bytes:
    if nonce == DEPLOYED:
        return contract.deploy_data(signer, signer)
    if nonce == REGISTERED:
        return contract.register_actor_data(ACCOUNT, Rights(7), name_digest(USERNAME))
    return contract.circulate_data(_circ(nonce), hashlib.sha512(b"operator %d" % nonce).digest() + b"\x1b")


def _event(nonce: int) -> tuple[list[str], str]:
    """Topics and data of the event that a transaction had."""
    if nonce == DEPLOYED:
        return [_word(1)], "0x"  # of the roles that it gave, which nobody reads
    if nonce == REGISTERED:
        topic = "0x" + contract.ACTOR_REGISTERED_TOPIC.hex()
        return [topic, _word(1)], f"0x{'0' * 24}{ACCOUNT[2:]}{7:064x}{name_digest(USERNAME).hex()}"
    circ = _circ(nonce)
    topics = ["0x" + contract.CIRCULATED_TOPIC.hex(), _word(circ.operator), _word(circ.to), _word(int(circ.circ_type))]
    (goods,) = circ.goods
    return topics, f"0x{circ.form_digest.hex()}{circ.version:064x}{96:064x}{1:064x}{goods.first:064x}{goods.count:064x}"


_METHODS: dict[str, Any] = {
    "eth_chainId": lambda _: hex(CHAIN_ID),
    "eth_blockNumber": lambda chain: hex(chain.head),
    "eth_getBlockByNumber": RecordedChain._block,
    "eth_getCode": RecordedChain._code,
    "eth_getLogs": RecordedChain._logs,
    "eth_getTransactionByHash": RecordedChain._transaction,
    "eth_getTransactionReceipt": RecordedChain._receipt,
    "eth_getTransactionCount": RecordedChain._count,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    chain: RecordedChain

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        calls = asked if isinstance(asked, list) else [asked]
        answers = [
            b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (call["id"], self.chain.answer(call["method"], call["params"]))
            for call in calls
        ]
        body = b"[" + b",".join(answers) + b"]" if isinstance(asked, list) else answers[0]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until stdin ends; prints the URL when it can be asked."""
    parser = argparse.ArgumentParser(prog="python -m scripts.recorded_chain", description=__doc__)
    parser.add_argument("--signer", required=True, help="the account that signed, 0x…")
    parser.add_argument("--circs", type=int, default=1_000_000, help="how many (%(default)s)")
    args = parser.parse_args()
    _Handler.chain = RecordedChain(args.signer, args.circs)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        import threading

        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
