"""What scripts/slither runs: Slither's static analysis of the contract. Exit 1 and its findings if it has any.

A finding is mended, or answered beside the code in question with a `slither-disable` comment and the reason. Slither
has an environment of its own (.set-up/slither), since its requirements are not the project's. It is given what the
compiler says of the sources, as the artifact's own compiler and settings give it, so it compiles nothing itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import solcx

from scripts import compile_contracts
from scripts.compile_contracts import ROOT, SETTINGS, SOLC_VERSION, SOURCE, Refusal
from tests.support.environment import environment

SLITHER = "slither-analyzer==0.11.6"
HOME = ROOT / ".set-up" / "slither"
OUTPUTS = ["abi", "evm.bytecode", "evm.deployedBytecode", "metadata", "userdoc", "devdoc"]
RUN_SECONDS_MAX = 300


def slither() -> Path | None:
    """Slither's command, installed at first need; None where it can't be."""
    python = environment(HOME, SLITHER)
    return None if python is None else python.with_name("slither")


def lay_out(folder: Path, entry: str = SOURCE) -> None:
    """The sources and what the compiler says of them, as Hardhat would leave them in a project."""
    sources = compile_contracts.sources_of(entry)
    request: dict[str, Any] = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": {**SETTINGS, "outputSelection": {"*": {"*": OUTPUTS, "": ["ast"]}}},
    }
    with compile_contracts.compiler() as solc:
        answer = solcx.compile_standard(request, solc_binary=solc)
    for name, text in sources.items():
        path = (folder / "node_modules" if name.startswith("@") else folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    info = folder / "artifacts" / "build-info"
    info.mkdir(parents=True)
    found = {"solcVersion": SOLC_VERSION, "input": request, "output": answer}
    (info / "VTrace.json").write_text(json.dumps(found), encoding="utf-8")
    (folder / "hardhat.config.js").write_text("module.exports = {};\n", encoding="utf-8")


def analyse(command: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Slither on what ``lay_out`` made. Packages' own findings are theirs to mend."""
    options = ["--compile-force-framework", "hardhat", "--hardhat-ignore-compile", "--npx-disable"]
    options += ["--hardhat-artifacts-directory", "artifacts", "--filter-paths", "node_modules", "--disable-color"]
    return subprocess.run(
        [str(command), ".", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS_MAX,
    )


def main(arguments: list[str] | None = None) -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        arguments
    )
    command = slither()
    if command is None:
        print("run_slither: skipped, since Slither could not be installed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="vtrace-slither-") as folder:
        try:
            lay_out(Path(folder))
        except Refusal as refusal:
            print(f"run_slither: {refusal}", file=sys.stderr)
            return 2
        done = analyse(command, Path(folder))
    print(done.stderr.strip())
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
