"""What scripts/soak does: load, random kills of the node, forks, pauses and restarts of its chain; then the reckoning.

Every life of the node is one round: callers record until it is killed, and what they were told is remembered. A call
without an answer may or may not have been recorded; both are right, as long as it happened once. At the end nothing
may be lost, doubled or left out, and the auditor must find no difference.

Of a node of several processes (``--workers``) a round kills some of these too, who leads and others, before it kills
the one that started them, alone or with all.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from node.chain import contract, signer
from node.chain.rpc import Chain, HttpRpc, RpcError
from tests.chain.servers import anvil_process, free_port, fund
from tests.support import people
from tests.support.load import Load, books
from tests.support.node import RunningNode
from tests.support.people import Maker
from tests.support.wire_client import Refusal, WireClient

FORK_MAX = 64
CONFIRMATIONS = FORK_MAX + 6
BLOCK_SECONDS = 1
CALLERS = 4
CALLER_REST_SECONDS = 0.1
GOODS = 16
ANSWERS_A_GOODS_SET = 2_000
"""After so many, other goods are used: one goods can have 4,095 circs."""
TOKEN_SECONDS = 1_800
LIFE_SECONDS_MIN = 0.2
WORKERS_KILLED_MAX = 3
LEADER_CHANCE, ALL_CHANCE = 0.6, 0.3
TAKEOVER_SECONDS_MAX = 2.0
FORK_CHANCE, PAUSE_CHANCE, RESTART_CHANCE = 0.5, 0.1, 0.05
PAUSE_SECONDS_MAX = 5.0
UNDER_WAY_SECONDS = 0.2
ANSWER_SECONDS_MAX = 30.0
SETTLE_SECONDS_MAX = 1_800
AUDIT_SECONDS_MAX = 1_800
LOG_BLOCKS = 500
USED = re.compile(r"nonce (\d+) of signer (0x\w+) was used by another transaction than (0x\w+)")
SUMMARY = re.compile(r"audit: (\d+) goods, (\d+) circs, (\d+) pending, (\d+) differences")


@dataclass
class Tally:
    """What was done, and what callers were told of it."""

    kills: int = 0
    of_leaders: int = 0
    of_workers: int = 0
    forks: int = 0
    deepest: int = 0
    pauses: int = 0
    restarts: int = 0
    unknown: int = 0
    answered: dict[str, list[int]] = field(default_factory=dict)
    doubled: set[str] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)

    def take(self, load: Load) -> None:
        """What one life's callers say."""
        self.unknown += load.unknown
        self.doubled |= self.answered.keys() & load.answered.keys()
        self.answered.update(load.answered)
        self.refusals += [str(fault) for fault in load.faults if fault.status != "RESOURCE_EXHAUSTED"]


class Anvil:
    """A chain with a block each second, that can be forked, paused, and restarted with its state."""

    def __init__(self, home: Path) -> None:
        self._port, self._state = free_port(), home / "anvil.json"
        self.url = f"http://127.0.0.1:{self._port}"
        # Block 0 is made anew at each start, after a fork even if the state has it: only its time makes it another.
        self._born = int(time.time())
        self.rpc = HttpRpc(self.url, timeout_seconds=60)
        self.chain = Chain(self.rpc)
        self._life = ExitStack()
        self._start()

    def _start(self) -> None:
        options = ("--block-time", str(BLOCK_SECONDS), "--state", str(self._state), "--timestamp", str(self._born))
        self._process = self._life.enter_context(anvil_process(*options, port=self._port))
        self._set_clock()
        # It remembers states back to its own start, and forks no deeper than that.
        self._first = self.chain.head().number

    def ask(self, method: str, *params: Any) -> Any:
        (answer,) = self.rpc.batch([(method, list(params))])
        if isinstance(answer, RpcError):
            raise answer
        return answer

    def fork(self, depth: int) -> int:
        """Replace the newest blocks by empty ones; answers how many: none where Anvil has forgotten what it needs."""
        depth = min(depth, self.chain.head().number - self._first - 1)
        if depth <= 0:
            return 0
        try:
            self.ask("anvil_reorg", depth, [])
        except RpcError:
            return 0
        finally:
            self._set_clock()
        return depth

    def _set_clock(self) -> None:
        """Else it goes on from where it began, or from the last block that a fork left."""
        self.ask("evm_setTime", int(time.time()))

    def mine(self, blocks: int) -> None:
        self.ask("anvil_mine", hex(blocks))

    def pause(self, seconds: float) -> None:
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """It writes its state when it ends; what waits in its pool is gone.

        It makes no block meanwhile: the accounts would be as that left them, but the block would be nowhere.
        """
        self.ask("evm_setIntervalMining", 0)
        time.sleep(UNDER_WAY_SECONDS)
        self._life.close()
        self._start()

    def close(self) -> None:
        self.rpc.close()
        self._life.close()


class Soak:
    """One run, in ``home``."""

    def __init__(self, home: Path, signers: int, workers: int, dice: random.Random, told: Console) -> None:
        self.tally = Tally()
        self._dice = dice
        self._told = told
        self._data_dir = home / "data"
        self.anvil = Anvil(home)
        self._options = ["--chain", self.anvil.url, "--confirmations", str(CONFIRMATIONS), "--rate-factor", "0"]
        self._options += ["--workers", str(workers)]
        self._workers = workers
        for number in range(signers):
            key, key_file = signer.new_key(), home / f"signer{number}.key"
            fund(self.anvil.rpc, signer.address_of(key))
            key_file.touch(mode=0o600)
            key_file.write_text(key.hex())
            self._options += ["--signer-key", str(key_file)]
        self._goods: list[list[int]] = []
        self._used = 0
        self._maker: Maker | None = None
        self._token: tuple[str, float] = ("", 0.0)

    def run(self, minutes: float, kills: int) -> None:
        """Until so many kills or minutes, whichever is first."""
        began = time.monotonic()
        longest = max(minutes * 60 / kills, 2 * LIFE_SECONDS_MIN)  # on average half of the time is left for starts
        while self.tally.kills < kills and time.monotonic() - began < minutes * 60:
            self._life(self._dice.uniform(LIFE_SECONDS_MIN, longest))
            tally = self.tally
            self._told.log(f"{tally.kills} kills, {tally.forks} forks, {len(tally.answered):,} circs answered")

    def start(self) -> RunningNode:
        return RunningNode(self._data_dir, *self._options)

    def _life(self, seconds: float) -> None:
        """Start the node, load it, do something to its chain, and kill it at any moment."""
        node = self.start()
        load = None
        try:
            if self._workers > 1:
                for _ in range(self._dice.randrange(WORKERS_KILLED_MAX + 1)):
                    self._worker_killed(node, self._dice.uniform(0, seconds))
            token, goods = self._prepared(node)
            load = Load(node.ready["grpc"], token, goods, CALLERS, pause_seconds=CALLER_REST_SECONDS)
            load.start()
            ends = time.monotonic() + seconds
            time.sleep(self._dice.uniform(0, seconds))
            self._trouble(node.process)
            time.sleep(max(0.0, ends - time.monotonic()))
            ended = node.process.poll()
        finally:
            workers = _workers_of(node.process.pid) if self._dice.random() < ALL_CHANCE else []
            node.kill_now()
            for pid in workers:
                _kill(pid)
            node.reap()
            if load is not None:
                load.join()
        if ended is not None:
            said = f"{node.log()[-4_000:]}{self.contradiction(node.log())}"
            raise SystemExit(f"soak: the node ended by itself with exit code {ended}:\n{said}")
        self.tally.kills += 1
        self.tally.take(load)
        self._used += len(load.answered)

    def _worker_killed(self, node: RunningNode, seconds: float) -> None:
        """Load the node, and kill one of its processes; it is started again meanwhile, or in the next round."""
        token, goods = self._prepared(node)
        load = Load(node.ready["grpc"], token, goods, CALLERS, pause_seconds=CALLER_REST_SECONDS)
        load.start()
        time.sleep(seconds)
        workers, leader = _workers_of(node.process.pid), self._leader()
        is_leader = leader in workers and self._dice.random() < LEADER_CHANCE
        victim = leader if is_leader else self._dice.choice(workers)
        _kill(victim)
        time.sleep(self._dice.uniform(0, TAKEOVER_SECONDS_MAX))
        load.halt()
        load.join()
        self.tally.kills += 1
        self.tally.of_workers += 1
        self.tally.of_leaders += victim == leader
        self.tally.take(load)
        self._used += len(load.answered)

    def _leader(self) -> int:
        """The pid of the process that took the lead last."""
        with closing(sqlite3.connect(f"file:{self._data_dir / 'index.sqlite3'}?mode=ro", uri=True)) as index:
            ((who,),) = index.execute("SELECT value FROM progress WHERE name = 'lead.chain'").fetchall()
        return int(str(who).rpartition("pid ")[2])

    def _prepared(self, node: RunningNode) -> tuple[str, list[int]]:
        """A token that is good for a while, and goods that can have more circs."""
        if self._maker is None:
            self._maker = people.maker(node.client)
        boss = self._maker.boss
        if time.monotonic() - self._token[1] > TOKEN_SECONDS or not self._token[0]:
            answer = _answered(node.client, "Token", phone=boss.phone, password=people.PASSWORD)
            self._token = (answer.token, time.monotonic())
        if not self._goods or self._used > ANSWERS_A_GOODS_SET:
            client = node.client.with_token(self._token[0])
            made = _answered(client, "BatchCreateGoods", serial_id=self._maker.serial_id, sum=GOODS)
            self._goods.append([id_.value for id_ in made.ids])
            self._used = 0
        return self._token[0], self._goods[-1]

    def _trouble(self, node: subprocess.Popen[bytes]) -> None:
        if self._dice.random() < FORK_CHANCE:
            with _silent(node):
                depth = self.anvil.fork(self._dice.choice((1, 3, self._dice.randint(1, FORK_MAX), FORK_MAX)))
            self.tally.forks += depth > 0
            self.tally.deepest = max(self.tally.deepest, depth)
        if self._dice.random() < PAUSE_CHANCE:
            self.anvil.pause(self._dice.uniform(0, PAUSE_SECONDS_MAX))
            self.tally.pauses += 1
        if self._dice.random() < RESTART_CHANCE:
            self.anvil.restart()
            self.tally.restarts += 1

    def settle(self, client: WireClient) -> None:
        """Mine until nothing is pending."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        for goods_id in self.goods():
            while any(record.status.value == "pending" for record in people.history(client, goods_id)):
                if time.monotonic() > deadline:
                    raise SystemExit(f"soak: goods {goods_id} still pending after {SETTLE_SECONDS_MAX} s")
                self.anvil.mine(CONFIRMATIONS)
                time.sleep(BLOCK_SECONDS)

    def goods(self) -> list[int]:
        return [goods_id for some in self._goods for goods_id in some]

    def nonce_gaps(self) -> int:
        """Nonces that the outbox skips, and those that it has and the chain not, or the other way round."""
        gaps = 0
        with closing(sqlite3.connect(f"file:{self._data_dir / 'index.sqlite3'}?mode=ro", uri=True)) as index:
            rows = index.execute("SELECT signer, MIN(nonce), MAX(nonce), COUNT(DISTINCT nonce) FROM outbox GROUP BY 1")
            for address, first, last, count in rows.fetchall():
                gaps += last - first + 1 - count
                gaps += abs(self.anvil.chain.transaction_count(address) - (last + 1))
        return gaps

    def contradiction(self, log: str) -> str:
        """What index and chain have at a nonce that the node says was used by somebody else, if it says so."""
        found = USED.search(log)
        if found is None:
            return ""
        nonce, address = int(found[1]), found[2]
        with closing(sqlite3.connect(f"file:{self._data_dir / 'index.sqlite3'}?mode=ro", uri=True)) as index:
            columns = "id, kind, state, block_number, tx_hash, live_hash, mined_hash"
            rows = index.execute(f"SELECT {columns} FROM outbox WHERE signer = ? AND nonce = ?", (address, nonce))
            known = rows.fetchall()
        head = self.anvil.chain.head().number
        lines = [f"in the index: {known}", f"head {head}, nonces used {self.anvil.chain.transaction_count(address)}"]
        for number in range(head, -1, -1):
            body = self.anvil.ask("eth_getBlockByNumber", hex(number), True)
            carried = [tx for tx in (body or {}).get("transactions", ()) if tx["from"].lower() == address.lower()]
            lines += [f"block {number} has {tx}" for tx in carried if int(tx["nonce"], 16) == nonce]
            if carried and min(int(tx["nonce"], 16) for tx in carried) < nonce:
                lines.append(f"block {number} has its nonces from {min(int(tx['nonce'], 16) for tx in carried)} on")
                break
        return "\n".join(["", *lines])

    def taken_twice(self, address: str) -> int:
        """Circs that the contract has taken more than once: each form's digest is of one circ alone, by its salt."""
        seen: set[bytes] = set()
        twice = 0
        head = self.anvil.chain.head().number
        for first in range(0, head + 1, LOG_BLOCKS):
            last = min(first + LOG_BLOCKS - 1, head)
            for entry in self.anvil.chain.logs(address, [contract.CIRCULATED_TOPIC], first, last):
                event = contract.decode_log(entry.topics, entry.data)
                if isinstance(event, contract.Circulated):
                    twice += event.circ.form_digest in seen
                    seen.add(event.circ.form_digest)
        return twice

    def audit(self, node: RunningNode) -> tuple[int, subprocess.CompletedProcess[str]]:
        """How many differences, and what the auditor printed; -1 if it could not check."""
        done = node.command(
            *("audit", "--all", "--node", node.ready["grpc"], "--rpc", self.anvil.url),
            *("--contract", node.ready["contract"], "--late-blocks", str(10 * CONFIRMATIONS)),
            timeout=AUDIT_SECONDS_MAX,
        )
        found = SUMMARY.search(done.stdout)
        return (int(found[4]) if found and done.returncode in (0, 1) else -1), done


def _answered(client: WireClient, rpc: str, **fields: Any) -> Any:
    """The answer of a call that may be made twice, also if both processes of the node were killed a moment ago."""
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    while True:
        try:
            return client.call(rpc, **fields)
        except Refusal as fault:
            if fault.status != "UNAVAILABLE" or time.monotonic() > deadline:
                raise
        time.sleep(UNDER_WAY_SECONDS)


@contextmanager
def _silent(node: subprocess.Popen[bytes]) -> Iterator[None]:
    """Anvil aborts now and then if it is asked something in the middle of a reorganisation, so nobody asks."""
    stopped = [node.pid, *_workers_of(node.pid)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(UNDER_WAY_SECONDS)
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def _workers_of(pid: int) -> list[int]:
    """The processes that a node's first one has started and that run now; none if the node is one process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Run, and print the figures."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long at most (%(default)s)")
    parser.add_argument("--kills", type=int, default=30, help="how many kills at most (%(default)s)")
    parser.add_argument("--signers", type=int, default=3, help="lanes of the node (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes of the node (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**9), help="of all that is random"
    )
    args = parser.parse_args()
    if args.minutes <= 0 or args.kills < 1 or args.signers < 1 or args.workers < 1:
        parser.error("want --minutes above 0, --kills, --signers and --workers of at least 1")
    told = Console(stderr=True)
    told.log(f"seed {args.seed}")
    with tempfile.TemporaryDirectory(prefix="vtrace-soak-") as home:
        soak = Soak(Path(home), args.signers, args.workers, random.Random(args.seed), told)
        try:
            began = time.monotonic()
            soak.run(args.minutes, args.kills)
            minutes = (time.monotonic() - began) / 60
            sys.exit(_reckon(soak, minutes, told))
        finally:
            soak.anvil.close()


def _reckon(soak: Soak, minutes: float, told: Console) -> int:
    node = soak.start()
    try:
        told.log("waiting until all is final")
        try:
            soak.settle(node.client)
        except Refusal:
            told.log(f"the node's log ends:\n{node.log()[-3000:]}{soak.contradiction(node.log())}")
            raise
        found = books(node.client, soak.goods(), soak.tally.answered)
        differences, audit = soak.audit(node)
        doubled = len(found.doubled | soak.tally.doubled) + soak.taken_twice(node.ready["contract"])
        gaps = soak.nonce_gaps()
    finally:
        node.stop()
    tally = soak.tally
    lost = len(found.lost | (found.unsuccessful & tally.answered.keys()))
    print(
        f"soak: {minutes:.1f} min, {tally.kills} kills ({tally.of_leaders} of who leads, "
        f"{tally.of_workers - tally.of_leaders} of others), "
        f"{tally.forks} forks (deepest {tally.deepest}), "
        f"{tally.pauses} pauses and {tally.restarts} restarts of the chain, {len(tally.answered)} circs answered, "
        f"{tally.unknown} calls without an answer, {found.circs} circs recorded, {lost} lost, {doubled} doubled, "
        f"{len(found.unsuccessful)} failed, {len(tally.refusals)} refused, {gaps} nonce gaps, {differences} differences"
    )
    for refusal in tally.refusals[:10]:
        told.log(f"refused: {refusal}")
    if differences:
        told.print(audit.stdout[-4_000:], audit.stderr[-4_000:], markup=False)
    wrong = lost or doubled or found.unsuccessful or found.disordered or tally.refusals or gaps or differences
    return 1 if wrong else 0


if __name__ == "__main__":
    main()
