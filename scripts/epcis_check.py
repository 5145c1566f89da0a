"""Exports random circs as EPCIS documents and has them judged: 10,000 by default.

The circs follow the rules of custody and stand in an index of their own; the export is ``vtrace epcis export``'s.
epcis2.js and the JSON Schema of EPCIS 2.0 judge the form, epcis2.js and epcis-event-hash-generator the hashes
(tests/epcis/judges.py). Exit code 1 if a judge differs, or isn't there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from click.testing import CliRunner

from node.cli import main as vtrace
from tests.epcis.histories import World
from tests.epcis.judges import Verdict, judged

EVENTS_PER_DOCUMENT = 250


def check(folder: Path, circs: int, seed: int) -> Verdict:
    """Play, export, judge."""
    world = World(folder / "index.sqlite3", Random(seed))
    world.play(circs)
    world.store.close()
    done = CliRunner().invoke(vtrace, ["epcis", "export", "--data-dir", str(folder)])
    if done.exit_code:
        raise SystemExit(done.output)
    return judged(list(portions(json.loads(done.stdout))))


def portions(document: dict[str, Any]) -> list[dict[str, Any]]:
    """One document in several: the judges take an age for a large one."""
    events = document["epcisBody"]["eventList"]
    return [
        {**document, "epcisBody": {"eventList": events[at : at + EVENTS_PER_DOCUMENT]}}
        for at in range(0, len(events), EVENTS_PER_DOCUMENT)
    ]


def main() -> None:
    """Check, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--circs", type=int, default=10_000, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (%(default)s)")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        verdict = check(Path(folder), args.circs, args.seed)
    for error in verdict.errors[:10]:
        print(error)
    print(", ".join(f"{step.rpartition('/')[2]} {count}" for step, count in verdict.kinds.most_common()))
    print(verdict)
    sys.exit(0 if verdict.is_good and verdict.by_generator is not None and verdict.events == args.circs else 1)


if __name__ == "__main__":
    main()
