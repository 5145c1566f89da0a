"""One caller alone, one call at a time: what is refused must leave the index as it was."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.fuzzing.calls import Asking, Line
from scripts.fuzzing.tally import Tally
from scripts.fuzzing.watch import Watch

BATCH = 100
READING = ("Get", "List", "Profile", "ContractName", "RefreshToken", "Prepare")
"""How the names of rpcs begin that change nothing when they succeed."""

REGISTERING = ("GetAccount",)
"""What looks like reading, and may give its caller an actor."""


def held(line: Line, watch: Watch, asked: Iterator[Asking], tally: Tally, place: str) -> Iterator[int]:
    """Send each; yields how many were sent since. Batches end early where a call changes something rightly."""
    watch.quiet()
    before, sent = watch.rows(), 0
    refused: list[str] = []
    for number, asking in enumerate(asked):
        status, message = line.one(asking)
        sent += 1
        tally.add("alone", status, f"{place}, request {number}: {asking.told()}: {message}")
        if status == "OK" and (not asking.rpc.startswith(READING) or asking.rpc in REGISTERING):
            watch.quiet()
            before, refused = watch.rows(), []
            continue
        refused.append(f"{status} of {asking.told()}")
        if len(refused) == BATCH:
            before = _compared(watch, before, refused, tally, f"{place}, up to request {number}")
            refused = []
            yield sent
            sent = 0
    if refused:
        _compared(watch, before, refused, tally, f"{place}, at its end")
    yield sent


def _compared(watch: Watch, before: dict[str, str], refused: list[str], tally: Tally, place: str) -> dict[str, str]:
    after = watch.rows()
    moved = [name for name in after if after[name] != before.get(name)]
    if moved:
        tally.changes.append(
            f"{place}: {', '.join(moved)} changed by one of:\n  " + "\n  ".join(dict.fromkeys(refused))
        )
    return after
