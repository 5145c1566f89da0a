"""Slither finds nothing in the contract that is not answered beside the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import run_slither


def test_every_finding_is_answered(tmp_path: Path) -> None:
    command = run_slither.slither()
    if command is None:
        pytest.skip("Slither could not be installed")
    run_slither.lay_out(tmp_path)
    done = run_slither.analyse(command, tmp_path)
    assert re.search(r"analyzed \(\d+ contracts with \d+ detectors\), 0 result\(s\) found", done.stderr), done.stderr
    assert done.returncode == 0

    # What the answers answer is really looked for.
    for source in (tmp_path / "contracts").iterdir():
        source.write_text(source.read_text().replace("slither-disable", "slither-answers"))
    unanswered = run_slither.analyse(command, tmp_path)
    assert unanswered.returncode != 0
    found = set(re.findall(r"^Detector: (\S+)", unanswered.stderr, re.MULTILINE))
    assert found == {"assembly", "divide-before-multiply", "incorrect-exp", "shadowing-local", "unused-return"}
