"""Static analysers find nothing in the node that is not answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import run_analysers


@pytest.fixture(scope="module")
def commands() -> Path:
    found = run_analysers.analysers()
    if found is None:
        pytest.skip("Bandit and Semgrep could not be installed")
    return found


@pytest.mark.parametrize("analyser", [run_analysers.bandit, run_analysers.semgrep])
def test_every_finding_is_answered(commands: Path, analyser: object) -> None:
    assert callable(analyser)
    found = analyser(commands, run_analysers.ROOT / "node")
    assert [str(each) for each in run_analysers.unanswered(found)] == []
    # A kind that is answered for all of its findings is one that is really found.
    assert {each.rule for each in found} <= run_analysers.ANSWERED.keys()
    assert found


@pytest.mark.parametrize("analyser", [run_analysers.bandit, run_analysers.semgrep])
def test_a_fault_is_found(commands: Path, analyser: object, tmp_path: Path) -> None:
    assert callable(analyser)
    (tmp_path / "fault.py").write_text("import os\n\ndef run(what: str) -> None:\n    os.system('ls ' + what)\n")
    assert run_analysers.unanswered(analyser(commands, tmp_path))
