"""``vtrace status``."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import DATA_DIR, DB, MASTER_KEY, check_used, option
from node.config import Config, KeySource

if TYPE_CHECKING:
    from node.flow.state import State

WEI_PER_ETHER = 10**18


@click.command(epilog="Example: vtrace status --data-dir ./data --json")
@DATA_DIR
@DB
@MASTER_KEY
@option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def status(data_dir: Path, db: str, master_key: KeySource | None, as_json: bool) -> None:
    """Tell how far a node has come with anchoring: what waits, each signer, the chain, forks and troubles.

    Reads the data directory alone, on the node's own machine, beside the running node or without it.
    """
    check_used(data_dir, db)
    from node.claim import is_running
    from node.clock import now_micros
    from node.flow.state import state_of
    from node.opening import open_store

    config = Config(data_dir=data_dir, db=db, master_key=master_key)
    with closing(open_store(config)[0]) as store:
        state, running = state_of(store, now_micros), is_running(config)
    if as_json:
        click.echo(json.dumps({"running": running, **_plain(state)}))
        return
    for line in _lines(state, running):
        click.echo(line)


def _plain(state: State) -> dict[str, Any]:
    """The state as JSON; amounts of wei are texts, since they exceed what JSON's numbers hold exactly."""
    plain = asdict(state)
    for lane in plain["lanes"]:
        lane["balance"] = None if lane["balance"] is None else str(lane["balance"])
    return plain


def _lines(state: State, running: bool) -> list[str]:
    waits = "nothing waits"
    if state.unfinished:
        oldest = (
            "" if state.oldest_pending_seconds is None else f", the oldest for {state.oldest_pending_seconds:.0f} s"
        )
        waits = f"{state.backlog} transactions in no block, {state.unfinished} not final{oldest}"
    lines = [f"node: {'running' if running else 'not running'}"]
    for worker in state.workers if running else ():
        leads = ", leads" if state.leader == f"worker {worker.name}, pid {worker.pid}" else ""
        lines.append(f"worker {worker.name}: pid {worker.pid}, seen {worker.seconds:.0f} s ago{leads}")
    lines.append(f"backlog: {waits}")
    if state.head is None:
        lines.append("chain: not looked at yet")
    else:
        lines.append(
            f"chain: height {state.head}, final up to {state.confirmed}, last news {state.seen_seconds:.0f} s ago, "
            f"{state.forks} forks seen"
        )
    for lane in state.lanes:
        funds = "unknown" if lane.balance is None else f"{lane.balance / WEI_PER_ETHER:.6f} ether"
        closed = "" if lane.is_open else ", takes nothing new"
        lines.append(
            f"lane {lane.signer}: next nonce {_or_none(lane.next_nonce)}, on chain {_or_none(lane.nonce_on_chain)}, "
            f"balance {funds}{closed}"
        )
        if lane.trouble:
            lines.append(f"  trouble: {lane.trouble}")
    lines += [f"trouble, {each.where}, for {each.seconds:.0f} s: {each.message}" for each in state.troubles]
    if state.scan_notices:
        lines.append(
            f"scans: {state.scan_notices} goods are scanned unlike their batch (ListScanAlerts), "
            f"{state.scan_hints} of their pages say so"
        )
    for hook in state.webhooks:
        lines.append(f"webhook {hook.id} of org {hook.org_id} is {hook.state}: {hook.url}: {hook.last_error}")
    if state.last_error is not None:
        lines.append(f"last error, {state.last_error.seconds:.0f} s ago: {state.last_error.message}")
    return lines


def _or_none(number: int | None) -> str:
    return "none" if number is None else str(number)
