"""The depth of JSON, known before it is parsed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.bounded_json import TooDeep, deeper_than, loads

_VALUE = st.recursive(
    st.none()
    | st.integers()
    | st.text(alphabet='[]{}"\\a\u202e', max_size=8)
    | st.text(alphabet="[]{}a\u202e", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=20,
)


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@given(_VALUE, st.sampled_from([None, 1]), st.booleans())
def test_the_depth_is_that_of_the_value(value: Any, indent: int | None, as_ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=as_ascii)
    depth = _depth(value)
    assert loads(text.encode(), depth) == value
    if depth:
        assert deeper_than(text, depth - 1)
        with pytest.raises(TooDeep, match=f"more than {depth - 1} levels"):
            loads(text, depth - 1)


@given(st.text(alphabet='[]{}"\\,:1a', max_size=200))
def test_what_is_no_json_is_told_or_refused(text: str) -> None:
    try:
        value = loads(text, 5)
    except ValueError:
        return
    assert _depth(value) <= 5


def test_it_takes_no_longer_than_parsing() -> None:
    text = "[" + ",".join(["[[]]"] * 200_000) + "]"
    began = time.process_time()
    json.loads(text)
    parsed = time.process_time()
    assert not deeper_than(text, 3)
    assert time.process_time() - parsed < 10 * (parsed - began)


LIFTED = """
import sys
sys.setrecursionlimit(1_000_000)  # as libraries do
from node.api import protojson
from node.domain import epcis, files, form, gs1, trace
from node.domain.epcis import document
from node.errors import VTraceError
for deep in (b"[" * 500_000, b'{"a":' * 500_000, b'{"a":' * 300_000 + b"1" + b"}" * 300_000):
    for read in (protojson.parse, document.parse, form.form_fault, form.text_fault, gs1.gtin_of, trace.members_of,
                 lambda text: files.named_in(b'{"ipfs":' + text)):
        try:
            read(deep[:65_000] if read is form.form_fault else deep)
        except (VTraceError, document.Faulty):
            pass
print("alive")
"""


def test_deep_json_ends_no_process_whatever_the_limit_of_recursion() -> None:
    done = subprocess.run([sys.executable, "-c", LIFTED], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr[-2_000:]
