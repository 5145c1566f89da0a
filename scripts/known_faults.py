"""What scripts/test asks of the advisories: has a locked package a known fault? Exit 1 and what they say, if so.

pip-audit and npm audit ask services. Where these can't be reached, or know none of the packages, one line says that it
was skipped.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.environment import environment

ROOT = Path(__file__).parent.parent
PIP_AUDIT = "pip-audit==2.10.1"
HOME = ROOT / ".set-up" / "pip-audit"
RUN_SECONDS_MAX = 180
NO_DATA = "no advisories could be had"


def read_pip(output: str) -> tuple[list[str], str]:
    """What pip-audit's JSON says: the faults, and why it was skipped (empty if it was not)."""
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return [], NO_DATA
    faults = [
        f"{one['name']} {one['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'no version'}"
        for one in packages
        for fault in one.get("vulns", [])
    ]
    left = [one["name"] for one in packages if "skip_reason" in one]
    if packages and len(left) == len(packages):
        return faults, NO_DATA
    return faults, f"{len(left)} packages: {', '.join(left)}" if left else ""


def read_npm(output: str) -> tuple[list[str], str]:
    """The same of npm's JSON."""
    try:
        found = json.loads(output)["vulnerabilities"]
    except (ValueError, KeyError, TypeError):
        return [], NO_DATA
    return [f"{name} {one['range']}: {one['severity']}" for name, one in sorted(found.items())], ""


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=RUN_SECONDS_MAX)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def main() -> int:
    python = environment(HOME, PIP_AUDIT)
    if python is None:
        told = {"pip-audit": ([], f"{PIP_AUDIT} could not be installed")}
    else:
        command = [str(python), "-m", "pip_audit", "-r", "requirements.lock", "--no-deps", "--disable-pip"]
        told = {"pip-audit": read_pip(_run([*command, "--format", "json", "--progress-spinner", "off"]))}
    told["npm audit"] = read_npm(_run(["npm", "audit", "--package-lock-only", "--omit", "dev", "--json"]))
    for name, (faults, skipped) in told.items():
        for fault in faults:
            print(f"{name}: {fault}")
        if skipped:
            print(f"{name}: skipped: {skipped}")
        elif not faults:
            print(f"{name}: no known faults")
    return 1 if any(faults for faults, _ in told.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
