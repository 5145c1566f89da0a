"""Makes the index of a node with as many goods and circs as a large one has, to measure reads at that size.

A node is started on a new data directory and a small supply chain is played on it, so that contract, users and actors
are real. Then it is stopped, and goods and circs that no chain knows are written by the path of ``vtrace reindex``: as
final, with forms whose digests are right, sent by an account that nobody has. A node starts on the result and goes on
recording: of the goods that it prints, and of new ones. An audit finds that the other circs never happened.

The same seed gives the same goods, forms and hashes. Each thousand goods are a serial; serials are of one org, every
tenth of one of a hundred others. Goods are made a thousand at a time; ten serials are on their way at the same time,
their circs of one goods each in random order.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from node.chain import signer
from node.chain.rpc import Chain, HttpRpc
from node.domain.form import ProducedClass, ProducedOrg, ProducedSerial, ProduceForm, form_digest, rfc3339
from node.domain.model import CircStatus, CircType
from node.domain.records import TxState
from node.flow.goods import STATE_START
from node.store.rebuild import ChainCirc, KnownForm, Mined, OldIndex, Places, Rebuild, put_in_place
from tests.chain.servers import fund
from tests.support import people
from tests.support.node import RunningNode, running

GOODS_PER_SERIAL = 1_000
SERIALS_AT_ONCE = 10
ORGS_OF_OTHERS, EVERY = 100, 10
CARRIERS = 4
REAL_GOODS = 100
BATCH = 10_000
BLOCK_CIRCS = 1_000
BYTES_PER_CIRC = 1_000
DAY = 86_400 * 1_000_000
NOBODY = "0x" + hashlib.sha256(b"load_index").hexdigest()[:40]
REWRITTEN = ("outbox", "circ", "circ_goods", "goods")
FORMS = (b'{"step":"drying","hours":%d}', b'{"step":"roasting","celsius":%d}', b'{"moisture_percent":%d}')


@dataclass(frozen=True, slots=True)
class Played:
    """What the real supply chain left: the maker's user, org, class and actor, and the actors that goods go to."""

    user_id: int
    org: ProducedOrg
    class_id: int
    maker: int
    carriers: tuple[int, ...]
    goods: tuple[int, ...]
    blocks: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A circ that no chain knows."""

    circ: ChainCirc
    form: bytes
    salt: bytes
    tx_hash: str


class Story:
    """Synthetic circs in the order of recording; ``states`` has holder and times of each goods behind them."""

    def __init__(self, played: Played, first: int, goods: int, circs: int, seed: int) -> None:
        self._played = played
        self._random = random.Random(seed)
        self._first = first
        self._goods = goods
        self._circs = circs
        self.holders: dict[int, int] = {}
        self.times: dict[int, int] = {}

    def serials(self) -> list[range]:
        """The goods of each serial."""
        end = self._first + self._goods
        return [range(at, min(at + GOODS_PER_SERIAL, end)) for at in range(self._first, end, GOODS_PER_SERIAL)]

    def org_of(self, serial: int) -> ProducedOrg:
        """The org whose goods a serial has, by its place."""
        if serial % EVERY or self._goods <= GOODS_PER_SERIAL * EVERY:
            return self._played.org
        number = serial // EVERY % ORGS_OF_OTHERS
        return ProducedOrg(self._played.org.id + 1 + number, f"Cooperative {number} of many", f"OTHER{number:013d}")

    def form_of(self, serial: int, class_id: int, serial_id: int) -> ProduceForm:
        """The produce form of a serial's goods."""
        when = ProducedSerial(serial_id, rfc3339(1_700_000_000_000_000 + serial * DAY // 24))
        return ProduceForm(ProducedClass(class_id, "Yunnan Arabica, washed", "{}", "", 0), when, self.org_of(serial))

    def circs(self, forms: Sequence[bytes]) -> Iterator[Made]:
        """Every circ; ``forms`` are the produce forms of the serials."""
        serials, maker = self.serials(), self._played.maker
        later = max(0, self._circs - len(serials))
        written = 0
        for at in range(0, len(serials), SERIALS_AT_ONCE):
            some = serials[at : at + SERIALS_AT_ONCE]
            for place, ids in enumerate(some, at):
                for goods_id in ids:
                    self.holders[goods_id], self.times[goods_id] = maker, 1
                yield self._made(CircType.PRODUCE, maker, maker, forms[place], [(goods_id, 0) for goods_id in ids])
            upto = later * min(at + SERIALS_AT_ONCE, len(serials)) // len(serials)
            pool = range(some[0].start, some[-1].stop)
            order = [pool[number % len(pool)] for number in range(upto - written)]
            self._random.shuffle(order)
            for goods_id in order:
                yield self._later(goods_id)
            written = upto

    def _later(self, goods_id: int) -> Made:
        holder, times, chance = self.holders[goods_id], self.times[goods_id], self._random.random()
        self.times[goods_id] = times + 1
        if chance < 0.3:
            to = next(actor for actor in self._random.sample(self._played.carriers, 2) if actor != holder)
            self.holders[goods_id] = to
            return self._made(CircType.TRANSFER, holder, to, b"", [(goods_id, times)])
        kind = CircType.PROCESS if chance < 0.8 else CircType.EXAM
        form = FORMS[times % len(FORMS)] % (times + goods_id % 50)
        return self._made(kind, holder, holder, form, [(goods_id, times)])

    def _made(self, kind: CircType, operator: int, to: int, form: bytes, goods: list[tuple[int, int | None]]) -> Made:
        drawn = self._random.randbytes(48)
        salt = drawn[:16]
        digest = hashlib.sha256(salt + form).digest()
        circ = ChainCirc(kind, operator, to, digest, CircStatus.SUCCESS, goods)
        return Made(circ, form, salt, "0x" + drawn[16:].hex())


def play(node: RunningNode) -> list[int]:
    """A maker whose goods went to each of the carriers; answers the goods."""
    maker = people.maker(node.client)
    goods = maker.goods(REAL_GOODS)
    for number in range(CARRIERS):
        carrier = people.transporter(node.client)
        maker.boss.call("CreateCirc", goods_id=goods[number], circ_type=3, to=carrier.username, form_value=b"{}")
    for goods_id in goods[: CARRIERS + 1]:
        people.settled(node.client, goods_id)
    return goods


def facts(index: sqlite3.Connection, goods: Sequence[int]) -> Played:
    """What a story needs of the index that a real supply chain left."""
    ask = index.execute
    user, org_id, name, code = ask("SELECT owner_id, id, name, code FROM org ORDER BY id LIMIT 1").fetchone()
    (class_id,) = ask("SELECT MAX(id) FROM goods_class").fetchone()
    actors = [number for (number,) in ask("SELECT id FROM actor ORDER BY id")]
    (maker,) = ask("SELECT id FROM actor WHERE user_id = ?", [user]).fetchone()
    blocks = ask("SELECT DISTINCT block_number, block_hash FROM outbox WHERE state = 'final' ORDER BY 1").fetchall()
    carriers = tuple(actor for actor in actors if actor != maker)
    return Played(user, ProducedOrg(org_id, name, code), class_id, maker, carriers, tuple(goods), tuple(blocks))


def carry_over(index: sqlite3.Connection, new: Rebuild) -> None:
    """The real circs and actors, as they stand in the index."""
    query = (
        "SELECT c.id, circ_type, operator_id, to_id, salt, form, x.id, block_number, block_hash, mined_hash "
        "FROM circ c JOIN outbox x ON x.id = outbox_id ORDER BY c.id"
    )
    circs, own, states = [], [], {}
    for id_, kind, operator, to, salt, form, outbox_id, number, block, mined in index.execute(query).fetchall():
        digest = form_digest(salt, form)
        goods = index.execute("SELECT goods_id, times FROM circ_goods WHERE circ_id = ?", [id_]).fetchall()
        circs.append(
            (
                ChainCirc(kind, operator, to, digest, CircStatus.SUCCESS, goods),
                Mined(TxState.FINAL, number, block, mined),
            )
        )
        own.append((digest, outbox_id))
        for goods_id, times in goods:
            holder = to if kind in (CircType.PRODUCE, CircType.TRANSFER) else states[goods_id][1]
            states[goods_id] = (goods_id, holder, times + 1)
    new.transactions.carry(own)
    new.circs.add_mined(circs)
    new.products.hold(states.values())
    for actor in list(new.people.old_actors()):
        new.people.add(actor)


def _set_aside(db: sqlite3.Connection) -> list[str]:
    """Take indexes and triggers away from the tables that are filled: made once at the end, they cost least."""
    marks = ", ".join("?" * len(REWRITTEN))
    query = (
        f"SELECT type, name, sql FROM main.sqlite_master WHERE type IN ('index', 'trigger') AND tbl_name IN ({marks})"
    )
    found = [row for row in db.execute(query, REWRITTEN).fetchall() if row[2] is not None]
    for kind, name, _ in found:
        db.execute(f'DROP {kind.upper()} main."{name}"')
    return [sql for _, _, sql in found]


def write(new: Rebuild, story: Story, played: Played, bar: Progress, total: int) -> None:
    """Write the synthetic goods and circs."""
    db = new.db
    aside = _set_aside(db)
    first_class, first_serial = (
        db.execute(f"SELECT COALESCE(MAX(id), 0) + 1 FROM main.{table}").fetchone()[0]
        for table in ("goods_class", "serial")
    )
    classes: dict[int, int] = {}
    forms, first_circ = [], new.circs.total + 1
    serials = story.serials()
    for place in range(len(serials)):
        org = story.org_of(place)
        class_id = classes.setdefault(org.id, first_class + len(classes))
        made = story.form_of(place, class_id, first_serial + place)
        new.products.put(made, 1_700_000_000_000_000 + place * DAY // 24, played.user_id, STATE_START)
        forms.append(made.to_bytes())
    began, step = int(time.time() * 1_000_000) - 365 * DAY, 365 * DAY // (total + 1)
    task = bar.add_task("circs", total=total)
    circs, done, makers = story.circs(forms), 0, []
    while some := list(islice(circs, BATCH)):
        mined = []
        for number, made in enumerate(some, done):
            block, block_hash = played.blocks[number * len(played.blocks) // total]
            mined.append((made.circ, Mined(TxState.FINAL, block, block_hash, made.tx_hash)))
            if made.circ.circ_type is CircType.PRODUCE:
                makers.append((first_circ + number, made.circ.goods))
        new.know_forms(KnownForm(made.salt, made.form, began + number * step) for number, made in enumerate(some, done))
        new.circs.add_mined(mined)
        for table in ("known", "chain", "used"):
            db.execute(f"DELETE FROM scratch.{table}")
        done += len(some)
        bar.update(task, completed=done)
    rest = bar.add_task("goods and their custody", total=None)
    for place, (_, goods) in enumerate(makers):
        rows = [(goods_id, first_serial + place, STATE_START, played.user_id) for goods_id, _ in goods]
        db.executemany(
            "INSERT INTO main.goods (id, serial_id, state, creator_id, holder, times) VALUES (?, ?, ?, ?, 0, 0)", rows
        )
    new.products.hold((goods_id, holder, story.times[goods_id]) for goods_id, holder in story.holders.items())
    new.products.settle(STATE_START)
    db.execute("UPDATE main.outbox SET signer = ?, nonce = id WHERE signer = ''", [NOBODY])
    bar.update(rest, total=1, completed=1)
    made_again = bar.add_task("indexes", total=len(aside))
    for sql in aside:
        db.execute(sql)
        bar.advance(made_again)


def _blocks(url: str, circs: int) -> tuple[tuple[int, str], ...]:
    """Blocks of an Anvil, mined for the circs that are said to be in them."""
    with closing(HttpRpc(url, timeout_seconds=600)) as rpc:
        chain, total = Chain(rpc), max(1, circs // BLOCK_CIRCS)
        first = chain.head().number + 1
        rpc.batch([("anvil_mine", [hex(total + 300)])])
        found = []
        for at in range(first, first + total, 1_000):
            found += chain.blocks(range(at, min(at + 1_000, first + total)))
    return tuple((block.number, block.hash) for block in found if block is not None)


def load(data_dir: Path, goods: int, circs: int, seed: int, chain: str | None, console: Console) -> list[int]:
    """Make the data directory; answers goods that the chain knows too."""
    options = []
    if chain is not None:
        data_dir.mkdir(parents=True, mode=0o700)
        key, key_file = signer.new_key(), data_dir / "signer.key"
        with closing(HttpRpc(chain)) as rpc:
            fund(rpc, signer.address_of(key))
        key_file.touch(mode=0o600)
        key_file.write_text(key.hex())
        options = ["--chain", chain, "--signer-key", str(key_file), "--confirmations", "1"]
    with console.status("a small supply chain…"), running(data_dir, *options) as node:
        real = play(node)
    places = Places(data_dir / "index.sqlite3")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ExitStack() as opened:
        bar = opened.enter_context(Progress(*columns, console=console))
        old = OldIndex(places.index)
        opened.callback(old.close)
        new = Rebuild(places)
        opened.callback(places.clear)
        opened.callback(new.close)
        new.copy(old, lambda _: None)
        with closing(sqlite3.connect(f"{places.index.absolute().as_uri()}?mode=ro", uri=True)) as index:
            played = facts(index, real)
            carry_over(index, new)
        if chain is not None:
            played = Played(*(getattr(played, name) for name in Played.__slots__[:-1]), _blocks(chain, circs))
        (first,) = new.ask("SELECT MAX(id) + 1 FROM main.goods")[0]
        write(new, Story(played, first, goods, circs, seed), played, bar, max(circs, -(-goods // GOODS_PER_SERIAL)))
        checked = bar.add_task("references", total=None)
        faults = new.faults()
        bar.update(checked, total=1, completed=1)
        if faults:
            raise RuntimeError("\n".join(faults))
        new.finish()
        put_in_place(old, places)
        places.before.unlink(missing_ok=True)
    return real


def main() -> int:
    """Make it, and print one line of JSON about it."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.load_index", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="a directory that is not there yet")
    parser.add_argument("--goods", type=int, default=1_000_000, help="how many goods (%(default)s)")
    parser.add_argument(
        "--circs",
        type=int,
        default=10_000_000,
        help="how many circs, one for each thousand goods at least (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=20261123, help="of everything random (%(default)s)")
    parser.add_argument("--chain", metavar="URL", help="an Anvil that the node is to use instead of its own chain")
    args = parser.parse_args()
    if args.goods < 1 or args.circs < -(-args.goods // GOODS_PER_SERIAL):
        parser.error(f"--goods {args.goods} --circs {args.circs}: want 1 goods or more, and a circ for each thousand")
    if args.data_dir.exists():
        parser.error(f"--data-dir {args.data_dir}: it is there already; name one that is not")
    args.data_dir.absolute().parent.mkdir(parents=True, exist_ok=True)
    need, free = args.circs * BYTES_PER_CIRC, shutil.disk_usage(args.data_dir.absolute().parent).free
    if free < need:
        parser.error(f"--data-dir {args.data_dir}: {free >> 20} MiB are free there, {need >> 20} MiB are needed")
    os.umask(0o077)
    began, cpu = time.monotonic(), time.process_time()
    real = load(args.data_dir, args.goods, args.circs, args.seed, args.chain, Console(stderr=True))
    size = os.stat(args.data_dir / "index.sqlite3").st_size
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    print(
        json.dumps(
            {
                "goods": args.goods,
                "circs": args.circs,
                "index_bytes": size,
                "seconds": round(seconds, 1),
                "cpu_seconds": round(cpu, 1),
                "real_goods": [real[CARRIERS], real[-1]],
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
