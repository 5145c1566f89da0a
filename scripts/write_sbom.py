"""What scripts/sbom runs: writes which components VTrace is made of, as CycloneDX 1.5 in JSON, from the lock files.

vtrace-python.cdx.json has what a node runs (requirements.lock, with hashes), vtrace-npm.cdx.json what builds
and tests contract and page (package-lock.json). cyclonedx-bom has an environment of its own (.set-up/sbom), since its
requirements are not the project's. Nothing is asked of the network but that environment, at first need.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.environment import environment

ROOT = Path(__file__).parent.parent
CYCLONEDX = "cyclonedx-bom==7.5.0"
HOME = ROOT / ".set-up" / "sbom"
SPECIFICATION = "1.5"
RUN_SECONDS_MAX = 120


class Failed(Exception):
    """No SBOM could be written; the message says why."""


def of_python() -> dict[str, Any]:
    """What a node runs."""
    python = environment(HOME, CYCLONEDX)
    if python is None:
        raise Failed(f"{CYCLONEDX} could not be installed")
    command = [str(python.with_name("cyclonedx-py")), "requirements", "requirements.lock", "--pyproject"]
    command += ["pyproject.toml", "--sv", SPECIFICATION, "--of", "JSON", "--output-reproducible", "-o", "-"]
    return _json(command)


def of_npm() -> dict[str, Any]:
    """What builds and tests contract and page."""
    return _json(["npm", "sbom", "--sbom-format", "cyclonedx", "--package-lock-only"])


def _json(command: list[str]) -> dict[str, Any]:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=RUN_SECONDS_MAX)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Failed(f"{command[0]}: {fault}") from fault
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "sbom", help="folder to write to")
    out: Path = parser.parse_args(arguments).out
    try:
        found = {"vtrace-python.cdx.json": of_python(), "vtrace-npm.cdx.json": of_npm()}
    except Failed as fault:
        print(f"sbom: {fault}", file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    for name, document in found.items():
        (out / name).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{out / name}: {len(document['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())
