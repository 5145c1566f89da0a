"""Which of the page's languages a reader gets."""

from __future__ import annotations

import re

from node.page.text import LANGUAGES

ENGLISH, CHINESE = LANGUAGES
HEADER_LENGTH_MAX = 1_000
_RANGE = re.compile(r"([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]{1,40})?(?:;q=([01](?:\.[0-9]{0,3})?))?", re.ASCII)


def language_of(asked: str | None, accept: str) -> str:
    """By the address (``?lang=``) if it names one, else by Accept-Language; English where neither does."""
    if asked in LANGUAGES:
        return asked
    best, weight = ENGLISH, 0.0
    for one in accept[:HEADER_LENGTH_MAX].replace(" ", "").split(","):
        found = _RANGE.fullmatch(one)
        if found is None:
            continue
        name = found[1].lower()
        quality = float(found[2]) if found[2] else 1.0
        if name in LANGUAGES and quality > weight:
            best, weight = name, quality
    return best
