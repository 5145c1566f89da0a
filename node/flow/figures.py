"""What the index says of the node's way to the chain, as figures."""

from __future__ import annotations

from collections.abc import Mapping

from node.clock import Clock
from node.errors import IndexUnavailable
from node.flow.readiness import HEIGHT
from node.flow.state import State, state_of
from node.measures import COUNTER, GAUGE, Figure, counter, gauge
from node.store import progress
from node.store.db import Store


def index_figures(store: Store, clock: Clock, backlog_max: int) -> list[Figure]:
    """The same whichever process of a node says them. Of an index that can't be read, only that."""
    try:
        state, noted = state_of(store, clock), progress.noted()
    except IndexUnavailable:
        return [_up(0)]
    height, seen = noted.get(HEIGHT, ("", 0))
    chain = None if state.head is None else max(int(height or 0), state.head)
    lag = None if chain is None or state.head is None else chain - state.head
    return [
        _up(1),
        gauge("vtrace_backlog", "Transactions that no block holds.", state.backlog),
        gauge("vtrace_backlog_max", "Transactions that may wait until callers are told to come later.", backlog_max),
        gauge("vtrace_unfinished", "Transactions that are not final.", state.unfinished),
        gauge(
            "vtrace_oldest_pending_seconds", "Age of the oldest that is not final.", state.oldest_pending_seconds or 0
        ),
        gauge("vtrace_chain_height", "Height of the chain when it was last asked.", chain),
        gauge("vtrace_chain_head", "Block up to which the chain was followed.", state.head),
        gauge("vtrace_chain_confirmed", "Block up to which all is final.", state.confirmed),
        gauge("vtrace_chain_lag_blocks", "Blocks of the chain that were not followed yet.", lag),
        gauge("vtrace_chain_seen_timestamp_seconds", "When the chain last answered.", seen / 1e6 if seen else None),
        counter("vtrace_forks_total", "Forks that took blocks away.", state.forks),
        gauge("vtrace_scan_notices", "Goods that are scanned unlike their batch.", state.scan_notices),
        gauge("vtrace_webhooks_failing", "Webhooks that fail or were disabled.", len(state.webhooks)),
        Figure(
            "vtrace_trouble",
            "1 for each part of the node that can't go on.",
            GAUGE,
            tuple(({"part": each.where}, 1.0) for each in state.troubles),
        ),
        *_lanes(state),
    ]


def fees_figure(spent: Mapping[str, int]) -> Figure:
    """What each lane paid, in wei, as far as this process saw its balance fall."""
    values = tuple(({"lane": lane}, float(wei)) for lane, wei in sorted(spent.items()))
    return Figure("vtrace_fees_spent_wei_total", "Wei by which balances of lanes fell.", COUNTER, values)


def _lanes(state: State) -> list[Figure]:
    def of_each(name: str, help_: str, value: str) -> Figure:
        values = ((lane.signer, getattr(lane, value)) for lane in state.lanes)
        known = tuple(({"lane": signer}, float(each)) for signer, each in values if each is not None)
        return Figure(name, help_, GAUGE, known)

    troubles = tuple(({"lane": lane.signer}, float(bool(lane.trouble))) for lane in state.lanes)
    return [
        of_each("vtrace_lane_open", "1 for lanes that take new transactions.", "is_open"),
        of_each("vtrace_lane_next_nonce", "Nonce of the next transaction that is recorded.", "next_nonce"),
        of_each("vtrace_lane_chain_nonce", "Nonce that the chain expects next.", "nonce_on_chain"),
        of_each("vtrace_lane_balance_wei", "What a lane can pay.", "balance"),
        Figure("vtrace_lane_trouble", "1 for lanes that the chain refuses.", GAUGE, troubles),
    ]


def _up(value: int) -> Figure:
    return gauge("vtrace_index_up", "Whether the index could be read.", value)
