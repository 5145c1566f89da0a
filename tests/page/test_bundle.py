"""The committed script of the page. That its sources give it is held by scripts/build_page.py --check."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

from node.page.text import LANGUAGES, labels
from scripts import build_page

PLACE = re.compile(r"\{([a-z]+)\}")


def test_it_knows_the_contract_of_this_node() -> None:
    known: dict[str, Any] = json.loads(build_page.facts())
    script = build_page.BUNDLE.read_text(encoding="utf-8")
    for name in ("circulated", "registered", "goodsOf", "sha256"):
        assert known[name] in script


def test_it_is_small() -> None:
    assert len(gzip.compress(build_page.BUNDLE.read_bytes(), mtime=0)) <= build_page.PACKED_BYTES_MAX


def test_both_languages_say_the_same() -> None:
    english, chinese = (labels()[language] for language in LANGUAGES)
    assert english.keys() == chinese.keys()
    for name, said in english.items():
        assert sorted(PLACE.findall(said)) == sorted(PLACE.findall(chinese[name])), name
