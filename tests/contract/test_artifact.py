"""The committed artifact is what the sources compile to, and Hardhat would compile the same."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.chain import contract

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "scripts" / "compile_contracts.py"
COMPILERS = ROOT / "node_modules" / "solc"

needs_compiler = pytest.mark.skipif(
    not COMPILERS.is_dir() or shutil.which("node") is None, reason="needs `npm ci --ignore-scripts`"
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def test_the_sources_are_those_that_were_compiled() -> None:
    for name, digest in contract.artifact()["sources"].items():
        if name.startswith("contracts/"):
            assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == digest, name


def test_the_compiler_is_the_one_that_package_json_names() -> None:
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    assert package["devDependencies"]["solc"] == contract.artifact()["compiler"]["version"]


def test_help() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "--check" in done.stdout


@needs_compiler
def test_check_accepts_the_committed_artifact() -> None:
    done = run("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_compiler
def test_check_names_what_differs(tmp_path: Path) -> None:
    artifact = json.loads((ROOT / "node" / "chain" / "VTrace.json").read_text(encoding="utf-8"))
    artifact["bytecode"] += "00"
    artifact["sources"]["contracts/VTrace.sol"] = ""
    other = tmp_path / "VTrace.json"
    other.write_text(json.dumps(artifact), encoding="utf-8")
    done = run("--check", "--output", str(other))
    assert done.returncode == 1
    assert "in: bytecode, contracts/VTrace.sol." in done.stderr
