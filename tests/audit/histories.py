"""Honest histories at random: whatever may befall goods, as an honest node shows it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

from node.domain.model import CircType, Rights
from tests.audit.world import EXAM, FORM, PROCESS, PRODUCE, RELAY, TRANSFER, World

NAMES = ("coop", "exporter", "roaster", "grader")
PRODUCE_BATCH = 50
FIRST_GOODS = 101
KINDS: tuple[CircType, ...] = (PRODUCE, PROCESS, TRANSFER, TRANSFER, EXAM)


def play(world: World, choose: Random, goods: int, acts: int) -> Counter[str]:
    """Make so many goods and let so many things happen to them; how many circs came to which end.

    ``bumped`` are those whose trans_id was outbid, ``carried`` those that a stranger had mined, ``unproven`` those on
    the chain whose trans_id it never saw, ``late`` those on the chain that are still shown as pending.
    """
    told: Counter[str] = Counter()
    ids = list(range(FIRST_GOODS, FIRST_GOODS + goods))
    for at in range(0, goods, PRODUCE_BATCH):
        world.circulate(ids[at : at + PRODUCE_BATCH], PRODUCE, "coop", form=FORM.to_bytes())
    relay = world.send(None, RELAY).contract_address
    for step in range(acts):
        goods_id = choose.choice(ids)
        chance = choose.random()
        if chance < 0.55:
            _attempt(world, choose, choose.sample(ids, choose.choice((1, 1, 1, 2, 3))), step, told)
        elif chance < 0.75:
            _proceed(world, choose, goods_id, step, told)
        elif chance < 0.82:
            through = relay if choose.random() < 0.5 else None
            later = choose.random() < 0.5
            world.copied(goods_id, PROCESS, world.holder(goods_id), through=through, later=later)
            told["carried"] += 1
            told["unproven"] += not later
        elif chance < 0.88:
            _bump(world, goods_id, told)
        elif chance < 0.92:
            world.set_rights(choose.choice(NAMES), Rights.CIRCULATE | Rights(choose.randrange(8)))
        elif chance < 0.96:
            world.change_key(choose.choice(NAMES))
        else:
            _settle_late(world, goods_id, told)
    for goods_id in choose.sample(ids, max(1, goods // 10)):
        _wait(world, goods_id, told)
    return told


def _form(choose: Random, step: int) -> bytes:
    return choose.choice((b"", b"{}", b'{"step": %d}' % step, '{"备注": "装箱"}'.encode()))


def _attempt(world: World, choose: Random, goods: list[int], step: int, told: Counter[str]) -> None:
    """Anybody tries anything; mostly the contract refuses."""
    operator, other = choose.sample(NAMES, 2)
    kind = choose.choice(KINDS)
    goods = sorted(goods)
    done = world.circulate(goods, kind, operator, other if kind is TRANSFER else "", _form(choose, step))
    told[str(done.status)] += 1


def _proceed(world: World, choose: Random, goods_id: int, step: int, told: Counter[str]) -> None:
    """The holder does what a holder may."""
    operator = world.holder(goods_id)
    kind = choose.choice((PROCESS, TRANSFER, EXAM))
    other = choose.choice([name for name in NAMES if name != operator])
    done = world.circulate([goods_id], kind, operator, other if kind is TRANSFER else "", _form(choose, step))
    told[str(done.status)] += 1


def _bump(world: World, goods_id: int, told: Counter[str]) -> None:
    """The same nonce was signed again with a higher fee, so the first hash was never mined."""
    world.sign(world.address, b"")
    outbid = world.sign(world.address, b"").hash
    world.forget()
    world.forget()
    done = world.circulate([goods_id], PROCESS, world.holder(goods_id), form=b'{"bumped": 1}')
    last = len(world.view.circs(goods_id)) - 1
    world.view.change(goods_id, last, trans_id=outbid)
    told["bumped"] += 1
    told["unproven"] += done.status == "success"


def _settle_late(world: World, goods_id: int, told: Counter[str]) -> None:
    """The node has not seen yet what became of a circ: it shows it as it was."""
    done = world.circulate([goods_id], PROCESS, world.holder(goods_id))
    if done.status == "success":
        world.view.change(goods_id, len(world.view.circs(goods_id)) - 1, status="pending", tx_hash=None)
        told["late"] += 1


def _wait(world: World, goods_id: int, told: Counter[str]) -> None:
    """A circ that is never sent."""
    _, shown = world.prepare([goods_id], PROCESS, world.holder(goods_id))
    world.forget()
    world.view.add(goods_id, replace(shown, goods_id=goods_id))
    told["pending"] += 1
