"""How far the chain was followed, what is known of the lanes, and what went wrong last.

All of it can be found out again; it stands in the index so that `vtrace status` and a restarted node know it too.
Writers run inside ``Store.write()``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.domain.records import LaneState
from node.store import outbox
from node.store import tables as t

LEAD = "lead."


def note(now: int, **values: str) -> None:
    """Remember values under their names, with the time."""
    rows = [{"name": name, "value": value, "at": now} for name, value in values.items()]
    t.Progress.insert_many(rows).on_conflict(
        conflict_target=[t.Progress.name], preserve=[t.Progress.value, t.Progress.at]
    ).execute()


def noted() -> dict[str, tuple[str, int]]:
    """Everything that was noted: name → value and time (microseconds since 1970)."""
    rows = t.tuples(t.Progress.select(t.Progress.name, t.Progress.value, t.Progress.at))
    return {str(name): (str(value), int(at)) for name, value, at in rows}


def term(lead: str) -> int:
    """The newest term of a lead, 0 before the first."""
    return _term(lead)[0]


def begin_term(now: int, lead: str, number: int, who: str) -> None:
    """``who`` has taken a lead, for a new term."""
    note(now, **{f"{LEAD}{lead}": f"{number} {who}"})


def leader(lead: str) -> tuple[str, int] | None:
    """Who took a lead last, and when (microseconds since 1970)."""
    _, who, at = _term(lead)
    return (who, at) if who else None


def _term(lead: str) -> tuple[int, str, int]:
    row = t.run("SELECT value, at FROM progress WHERE name = ?", f"{LEAD}{lead}").fetchone()
    if row is None:
        return 0, "", 0
    number, _, who = str(row[0]).partition(" ")
    return int(number), who, int(row[1])


def open_lanes(signers: Sequence[str]) -> None:
    """At start: these signers, in this order, take new transactions; others only finish what they have."""
    t.Lane.update(is_open=False).execute()
    rows = [{"signer": signer, "position": place, "is_open": True} for place, signer in enumerate(signers)]
    t.Lane.insert_many(rows).on_conflict(
        conflict_target=[t.Lane.signer], preserve=[t.Lane.position, t.Lane.is_open]
    ).execute()


def seen(nonces: Mapping[str, int], balances: Mapping[str, int]) -> None:
    """What the chain says of lanes: the next nonce, and wei."""
    for signer, nonce in nonces.items():
        t.Lane.update(nonce_on_chain=nonce).where(t.Lane.signer == signer).execute()
    for signer, balance in balances.items():
        t.Lane.update(balance=str(balance)).where(t.Lane.signer == signer).execute()


def no_troubles() -> None:
    """What kept lanes from going on is to be found out anew."""
    t.Lane.update(trouble="").execute()


def trouble(now: int, signer: str, text: str) -> None:
    """Why a lane does not go on; empty when it does."""
    t.Lane.update(trouble=text).where(t.Lane.signer == signer).execute()
    if text:
        note(now, last_error=text)


def lanes() -> list[LaneState]:
    """All lanes, in their order."""
    rows = t.tuples(
        t.Lane.select(t.Lane.signer, t.Lane.is_open, t.Lane.nonce_on_chain, t.Lane.balance, t.Lane.trouble).order_by(
            t.Lane.position, t.Lane.signer
        )
    )
    return [
        LaneState(
            signer=str(signer),
            is_open=bool(is_open),
            next_nonce=outbox.next_nonce(str(signer)),
            nonce_on_chain=nonce,
            balance=None if balance is None else int(balance),
            trouble=str(text),
        )
        for signer, is_open, nonce, balance, text in rows
    ]
