"""Random events. Their values are such as no judge mistakes for something else: see tests/epcis/histories.py."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from node.domain.epcis.vocabulary import BIZ_STEPS, DISPOSITIONS, PARTY_TYPES, TRANSACTION_TYPES

NAMES = st.text("abcdefghij", min_size=3, max_size=8)
URIS = st.one_of(
    NAMES.map("https://example.com/{}".format),
    NAMES.map("urn:example:{}".format),
    st.integers(10**4, 10**5 - 1).map("urn:epc:id:pgln:4012345.{}".format),
    st.integers(10**4, 10**5 - 1).map("urn:epc:id:sgln:4012345.{}.0".format),
    st.integers(1, 2**31).map("https://id.gs1.org/01/04012345111118/21/{}".format),
    st.integers(10**6, 2**31).map("urn:epc:id:sgtin:4012345.011111.{}".format),
)
VALUES = st.one_of(NAMES, st.integers(-(10**6), 10**6), st.integers(1, 10**4).map(lambda number: number + 0.25))
PLACES = st.fixed_dictionaries({"id": URIS})


def _spelled(terms: frozenset[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(terms))


def _listed(name: str, terms: frozenset[str]) -> st.SearchStrategy[list[dict[str, str]]]:
    # The type first, as the standard's examples have it: the generator takes the order that it finds.
    item = st.builds(lambda kind, uri: {"type": kind, name: uri}, _spelled(terms), URIS)
    return st.lists(item, min_size=1, max_size=3, unique_by=str)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An ObjectEvent with the prefix ``example``."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "bizStep": _spelled(BIZ_STEPS),
        "disposition": _spelled(DISPOSITIONS),
        "readPoint": PLACES,
        "bizLocation": PLACES,
        "bizTransactionList": _listed("bizTransaction", TRANSACTION_TYPES),
        "sourceList": _listed("source", PARTY_TYPES),
        "destinationList": _listed("destination", PARTY_TYPES),
        "example:a": VALUES,
        "example:b": st.dictionaries(NAMES.map("example:{}".format), VALUES, min_size=1, max_size=3),
    }
    optional = draw(st.fixed_dictionaries({}, optional=fields))
    millis = draw(st.integers(0, 4_000_000_000_000))
    return {
        "type": "ObjectEvent",
        "eventTime": f"2026-05-01T08:30:00.{millis % 1000:03}+{millis % 13:02}:30",
        "eventTimeZoneOffset": f"+{millis % 13:02}:30",
        "epcList": draw(st.lists(URIS, min_size=1, max_size=4, unique=True)),
        "action": "OBSERVE",
        **optional,
    }
