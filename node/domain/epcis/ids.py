"""Goods as EPC URIs, and EPC URIs as goods.

With a GTIN the EPC is the canonical GS1 Digital Link URI ``https://id.gs1.org/01/{gtin14}/21/{goods_id}``, without
one the private URN ``urn:vtrace:{chain_id}:{contract}:obj:{goods_id}``. Neither has an address of the node in it: the
EPC is part of every event's hash, and must be the same whichever name the node is reached by. The ``base`` of the
functions below is the private URN's beginning, ``urn:vtrace:{chain_id}:{contract}``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from node.domain.gs1 import check_digit
from node.domain.model import GOODS_ID_MAX
from node.errors import shown

DIGITAL_LINK = "https://id.gs1.org"
EPC_LENGTH_MAX = 512

_GOODS = re.compile(r"[1-9][0-9]{0,9}")
_LINK = re.compile(
    r"https?://[^/?#\s]+(?:/[^/?#\s]+)*?/(?:01|gtin)/([0-9]{8}|[0-9]{12,14})"
    r"(?:/(?:22|cpv)/[^/?#\s]+)?(?:/(?:10|lot)/([^/?#\s]+))?/(?:21|ser)/([^/?#\s]+)(?:[?#]\S*)?"
)
_SGTIN = re.compile(r"urn:epc:id:sgtin:([0-9]{6,12})\.([0-9]{1,7})\.([^.\s]+)")


@dataclass(frozen=True, slots=True)
class Item:
    """Goods as an event names them: ``gtin`` of 14 digits, if their class has one."""

    goods_id: int
    gtin: str | None
    serial_id: int


@dataclass(frozen=True, slots=True)
class Epc:
    """What an EPC URI says. ``gtin`` is None in the private URN; ``lot`` as it stands there, None if it doesn't."""

    goods_id: int
    gtin: str | None
    lot: str | None


def base_of(chain_id: int, contract: str) -> str:
    """The beginning of all private URNs of one contract."""
    return f"urn:vtrace:{chain_id}:{contract.lower()}"


def epc_of(goods_id: int, gtin: str | None, base: str) -> str:
    """The one EPC URI of goods."""
    return f"{DIGITAL_LINK}/01/{gtin}/21/{goods_id}" if gtin else f"{base}:obj:{goods_id}"


def goods_of(epc: str, base: str) -> Epc:
    """The goods that an EPC URI names; ValueError, with what is wanted, for what names none.

    Taken are the private URN, GS1 Digital Link URIs of any host with GTIN and serial, and ``urn:epc:id:sgtin:``. That
    the GTIN is the goods' own is for the caller to see.
    """
    if len(epc) > EPC_LENGTH_MAX:
        raise ValueError(f"{shown(epc)}: want at most {EPC_LENGTH_MAX} characters")
    own = f"{base}:obj:"
    # Ethereum writes an address with a checksum in the case of its letters, also where a contract is told.
    if epc[: len(own)].lower() == own:
        return Epc(_goods_id(epc, epc[len(own) :]), None, None)
    link = _LINK.fullmatch(epc)
    if link:
        return Epc(_goods_id(epc, link[3]), _checked(epc, link[1].zfill(14)), link[2])
    sgtin = _SGTIN.fullmatch(epc)
    if sgtin and len(sgtin[1]) + len(sgtin[2]) == 13:
        digits = sgtin[2][0] + sgtin[1] + sgtin[2][1:]
        return Epc(_goods_id(epc, sgtin[3]), f"{digits}{check_digit(digits)}", None)
    raise ValueError(
        f"{shown(epc)}: want {DIGITAL_LINK}/01/GTIN/21/GOODS_ID, urn:epc:id:sgtin:… or {base}:obj:GOODS_ID"
    )


def party_of(actor: int, base: str) -> str:
    """The URI of a user as the contract knows it."""
    return f"{base}:party:{actor}"


def _goods_id(epc: str, text: str) -> int:
    if not _GOODS.fullmatch(text) or int(text) > GOODS_ID_MAX:
        raise ValueError(f"{shown(epc)}: the serial {shown(text)} is no goods id, want 1 to {GOODS_ID_MAX}")
    return int(text)


def _checked(epc: str, gtin: str) -> str:
    right = check_digit(gtin[:-1])
    if int(gtin[-1]) != right:
        raise ValueError(f"{shown(epc)}: GTIN {gtin}: check digit {gtin[-1]}, want {right}")
    return gtin


_URNS: dict[str, tuple[str, int]] = {
    "id:sgtin": ("01", 13),
    "class:lgtin": ("01", 13),
    "id:sgln": ("414", 12),
    "id:pgln": ("417", 12),
    "id:sscc": ("00", 17),
}
"""EPC URNs whose key follows from company prefix and reference: its application identifier, and its length without the
check digit."""
_INDICATED = ("id:sgtin", "class:lgtin", "id:sscc")
"""Their reference begins with the digit that the key begins with."""
_NEXT = {"id:sgtin": "21", "class:lgtin": "10", "id:sgln": "254"}
_URN = re.compile(r"urn:epc:((?:id|class):[a-z]+):([0-9]{6,12})\.([0-9]*)(?:\.(\S+))?")
_NAMES = {
    "gtin": "01",
    "gln": "414",
    "party": "417",
    "sscc": "00",
    "cpv": "22",
    "lot": "10",
    "ser": "21",
}
_QUALIFIERS = {"01": ("21", "235", "10"), "414": ("254",), "417": (), "00": ()}
"""A key → what may qualify it, the finest first."""
_ENCODED = str.maketrans({character: f"%{ord(character):02X}" for character in "!()*+,:"})


def canonical(uri: str) -> str:
    """A URI as an event's hash has it: EPC URNs and GS1 Digital Link URIs of GTIN, GLN and SSCC as the canonical
    Digital Link URI with its finest part alone; any other text as it is."""
    urn = _URN.fullmatch(uri)
    if urn:
        return _of_urn(urn) or uri
    return _of_link(uri) or uri


def _of_urn(urn: re.Match[str]) -> str | None:
    scheme, company, reference, rest = urn.groups()
    if scheme not in _URNS or len(company) + len(reference) != _URNS[scheme][1]:
        return None
    key = reference[0] + company + reference[1:] if scheme in _INDICATED and reference else company + reference
    link = f"{DIGITAL_LINK}/{_URNS[scheme][0]}/{key}{check_digit(key)}"
    if scheme in _NEXT and rest is not None:
        return link if scheme == "id:sgln" and rest == "0" else f"{link}/{_NEXT[scheme]}/{rest.translate(_ENCODED)}"
    return link if rest is None and scheme not in _NEXT else None


def _of_link(uri: str) -> str | None:
    if not uri.startswith(("http://", "https://")):
        return None
    parts = [_NAMES.get(part, part) for part in re.split(r"[?#]", uri)[0].split("/")[3:]]
    for place, part in enumerate(parts[:-1]):
        if part not in _QUALIFIERS or not re.fullmatch(r"[0-9]{8,18}", parts[place + 1]):
            continue
        key = parts[place + 1].zfill(14) if part == "01" else parts[place + 1]
        said = dict(zip(parts[place + 2 :: 2], parts[place + 3 :: 2], strict=False))
        finest = next((name for name in _QUALIFIERS[part] if name in said), None)
        return f"{DIGITAL_LINK}/{part}/{key}" + (f"/{finest}/{said[finest]}" if finest else "")
    return None
