"""The catalogue of lies in docs/audit.md: every row has a step that there is, and tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.audit.test_lies import LIES

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parents[1] / "docs" / "audit.md"
STEPS = range(1, 16)


def _rows() -> list[list[str]]:
    text = DOCUMENT.read_text(encoding="utf-8").split("## Lies, and what catches them")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    assert rows[0] == ["lie", "step", "test"]
    return rows[2:]


def _tests() -> set[str]:
    found = set()
    for path in FOLDER.glob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {
            each.name for each in tree.body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
        }
    return found


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row[0])
def test_every_lie_has_a_step_and_a_test(row: list[str]) -> None:
    lie, step, test = row
    assert step.split(" (")[0] == "all" or {int(each) for each in step.split(" (")[0].split(", ")} <= set(STEPS), lie
    functions, quoted = re.findall(r"`(test_\w+)`", test), re.findall(r'"([^"]+)"', test)
    assert functions or quoted
    assert set(functions) <= _tests()
    assert set(quoted) <= LIES.keys()


def test_every_lie_that_is_tested_is_in_the_catalogue() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    named = {lie for row in _rows() for lie in re.findall(r'"([^"]+)"', row[2])}
    missing = [lie for lie in LIES if lie not in named]
    assert missing == []
    assert set(re.findall(r"`(test_\w+)`", text)) <= _tests()


def test_the_steps_stand_where_the_documentation_says() -> None:
    """1, 2 and 13 to 15 in auditor.py, 3 to 12 in rules; each module that does some names them."""
    audit = FOLDER.parents[1] / "node" / "flow" / "audit"
    listed = ast.get_docstring(ast.parse((audit / "auditor.py").read_text(encoding="utf-8"))) or ""
    rules = ast.get_docstring(ast.parse((audit / "rules" / "__init__.py").read_text(encoding="utf-8"))) or ""
    found = re.findall(r"^(\d+)\.", listed, re.M) + re.findall(r"^(\d+)\.", rules, re.M)
    assert sorted(map(int, found)) == sorted([*STEPS, 3])
    for name, steps in (("replay", "2"), ("files", "13"), ("predictions", "14"), ("callers", "15")):
        beginning = (audit / f"{name}.py").read_text(encoding="utf-8").splitlines()[0]
        assert beginning.startswith(f'"""Step {steps}: ')
    done = set()
    for path in audit.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        done |= set(map(int, re.findall(r"(?:differ|differ_circ)\(\s*(\d+)", source)))
        done |= set(map(int, re.findall(r"Difference\(.*, (\d+)(?:,|\))", source)))
    assert done >= set(STEPS) - {1}, "step 1 ends the audit"
