"""What scripts/analyse runs: Bandit, and Semgrep with rules for Python, over node/. Exit 1 and the findings if any.

A finding is mended, or answered: beside the code by a comment with the reason (``# nosec B105: …``), or below where
one reason is good for all of a kind. Both have an environment of their own (.set-up/analysers), since their
requirements are not the project's. Semgrep's rules come with a package, so nothing is fetched but packages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.environment import environment

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".set-up" / "analysers"
PACKAGES = ("bandit==1.9.4", "semgrep==1.182.0", "aramid==0.20.10")
"""The last one brings the rules."""
RULES = "aramid/rules/owasp.yml"
RUN_SECONDS_MAX = 900

_OWN_SQL = "no value is ever put into SQL text: tests/store/test_sql_text.py knows every piece that is"
_NARROWED = "asserts tell the type checker what holds anyway; none is a check of input"
ANSWERED = {
    "B101": _NARROWED,
    "B608": _OWN_SQL,
    "python-sqli-string-concat": _OWN_SQL,
    "python-query-built-then-executed": _OWN_SQL,
}
"""Kind of finding → why none of its findings is a fault here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What an analyser says: its rule, where (path:line), and why."""

    rule: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: {self.text}"


def analysers() -> Path | None:
    """The folder of their commands, installed at first need; None where they can't be."""
    python = environment(HOME, *PACKAGES)
    return None if python is None else python.parent


def bandit(commands: Path, folder: Path) -> list[Finding]:
    """All that Bandit finds in a folder, but for generated code."""
    report = _run([commands / "bandit", "-q", "-r", folder, "-x", folder / "wire", "-f", "json"], folder)
    if report["errors"]:
        raise SystemExit(f"run_analysers: bandit could not read all: {report['errors']}")
    return [
        Finding(each["test_id"], f"{each['filename']}:{each['line_number']}", each["issue_text"])
        for each in report["results"]
    ]


def semgrep(commands: Path, folder: Path) -> list[Finding]:
    """All that Semgrep's rules find in a folder, but for the bundled script, whose sources are read."""
    (rules,) = commands.parent.glob(f"lib/python*/site-packages/{RULES}")
    # Without its limit of seconds for a rule and a file, which a busy machine does not keep.
    options = ["--metrics", "off", "--disable-version-check", "--no-git-ignore", "--quiet", "--json", "--timeout", "0"]
    options += ["--exclude", "check.js"]
    report = _run([commands / "semgrep", "scan", *options, "--config", rules, folder], folder)
    if report["errors"]:
        raise SystemExit(f"run_analysers: semgrep could not read all: {report['errors']}")
    return [
        Finding(
            each["check_id"].rpartition(".")[2], f"{each['path']}:{each['start']['line']}", each["extra"]["message"]
        )
        for each in report["results"]
    ]


def unanswered(found: Sequence[Finding]) -> list[Finding]:
    """Those that no reason is given for."""
    return [each for each in found if each.rule not in ANSWERED]


def _run(command: Sequence[str | Path], folder: Path) -> Any:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=RUN_SECONDS_MAX, cwd=folder)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"run_analysers: {command[0]} failed with exit {done.returncode}:\n{done.stderr}") from None


def main(arguments: list[str] | None = None) -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        arguments
    )
    commands = analysers()
    if commands is None:
        print("run_analysers: skipped, since they could not be installed", file=sys.stderr)
        return 2
    found = [*bandit(commands, ROOT / "node"), *semgrep(commands, ROOT / "node")]
    left = unanswered(found)
    for each in left:
        print(each)
    print(f"{len(found)} findings, {len(found) - len(left)} answered for all of their kind, {len(left)} open")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
