#!/usr/bin/env python3
"""Compile the contract into the artifact that the node carries, or check that the two agree.

The artifact (node/chain/VTrace.json) is committed, so that running the node needs no compiler. It is the same to the
byte wherever it is made: sources go to the compiler with their names inside the project, and the code carries no
hash of its metadata. The compiler is a native solc of the right version where one is installed (on PATH or by
py-solc-x), else the one that `npm ci --ignore-scripts` installs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import solcx
from eth_hash.auto import keccak
from solcx.exceptions import SolcError, SolcNotInstalled

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "node_modules"
ARTIFACT = ROOT / "node" / "chain" / "VTrace.json"

CONTRACT = "VTrace"
SOURCE = "contracts/VTrace.sol"
SOLC_VERSION = "0.8.37"
SETTINGS: dict[str, Any] = {
    "evmVersion": "cancun",
    "metadata": {"bytecodeHash": "none"},
    "optimizer": {"enabled": True, "runs": 1_000_000},
    "viaIR": True,
}
OUTPUTS = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"]
OUTPUTS += ["storageLayout"]
STORED = ("_words",)
"""The variables of which the node knows where they are."""

_IMPORT = re.compile(r'^\s*import\s+(?:[^"\';]*\sfrom\s+)?["\']([^"\']+)["\']\s*;', re.MULTILINE)

# solcjs can't wait for a pipe, neither to be filled nor to be emptied, so files stand between; and it writes remarks,
# each a line that begins with >>>, among the JSON.
_WRAPPER = """#!/bin/sh
case "$1" in
--standard-json)
  cat > "$0.in" && {solcjs} "$@" < "$0.in" > "$0.out" && sed '/^>>> /d' "$0.out" ;;
*) {solcjs} "$@" ;;
esac
"""


class Refusal(Exception):
    """The artifact can't be made; the message says what to do."""


def sources_of(entry: str) -> dict[str, str]:
    """The text of ``entry`` and of all that it imports, by name inside the project or inside its package."""
    found: dict[str, str] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = (MODULES if name.startswith("@") else ROOT) / name
        try:
            found[name] = path.read_text(encoding="utf-8")
        except OSError:
            raise Refusal(f"{name} is missing: run `npm ci --ignore-scripts` first") from None
        for target in _IMPORT.findall(found[name]):
            waiting.append(_resolve(target, name))
    return dict(sorted(found.items()))


def _resolve(target: str, importer: str) -> str:
    if not target.startswith("."):
        return target
    parts: list[str] = []
    for part in (PurePosixPath(importer).parent / target).parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


@contextmanager
def compiler() -> Iterator[Path]:
    """The path of a solc of the right version that speaks standard JSON."""
    native = _native_solc()
    if native is not None:
        yield native
        return
    node, solcjs = shutil.which("node"), MODULES / "solc" / "solc.js"
    if node is None or not solcjs.is_file():
        raise Refusal(f"no solc {SOLC_VERSION}: install it, or install Node.js and run `npm ci --ignore-scripts`")
    with tempfile.TemporaryDirectory(prefix="vtrace-solc-") as folder:
        wrapper = Path(folder) / "solc"
        wrapper.write_text(_WRAPPER.format(solcjs=shlex.join([node, str(solcjs)])), encoding="utf-8")
        wrapper.chmod(0o755)
        _require_version(wrapper)
        yield wrapper


def _native_solc() -> Path | None:
    on_path = shutil.which("solc")
    if on_path is not None and _version_of(Path(on_path)) == SOLC_VERSION:
        return Path(on_path)
    try:
        return Path(solcx.install.get_executable(SOLC_VERSION))
    except SolcNotInstalled:
        return None


def _version_of(solc: Path) -> str | None:
    try:
        return str(solcx.wrapper.get_solc_version(solc))
    except (SolcError, OSError, subprocess.SubprocessError):
        return None


def _require_version(solc: Path) -> None:
    found = _version_of(solc)
    if found != SOLC_VERSION:
        raise Refusal(f"the project's solc is {found}, not {SOLC_VERSION}: run `npm ci --ignore-scripts`")


def build() -> dict[str, Any]:
    """Compile the sources into the artifact. Every warning is an error."""
    sources = sources_of(SOURCE)
    request = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": {**SETTINGS, "outputSelection": {SOURCE: {CONTRACT: OUTPUTS}, "*": {"": ["ast"]}}},
    }
    with compiler() as solc:
        try:
            answer = solcx.compile_standard(request, solc_binary=solc)
        except SolcError as error:
            raise Refusal(error.message) from None
    warnings = [found["formattedMessage"] for found in answer.get("errors", []) if found["severity"] != "info"]
    if warnings:
        raise Refusal("\n".join(warnings))

    output = answer["contracts"][SOURCE][CONTRACT]
    runtime = output["evm"]["deployedBytecode"]
    # In the compiler's output the places of immutables are zero.
    names = _immutables_of(answer["sources"])
    places = sorted(
        (place["start"], place["length"], names[ast_id])
        for ast_id, found in runtime["immutableReferences"].items()
        for place in found
    )
    code = bytes.fromhex(runtime["object"])
    return {
        "contract": CONTRACT,
        "storage": {name: slot for name, slot in _slots_of(output["storageLayout"]) if name in STORED},
        "compiler": {"name": "solc", "version": SOLC_VERSION, "settings": SETTINGS},
        "sources": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sources.items()},
        "abi": output["abi"],
        "bytecode": "0x" + output["evm"]["bytecode"]["object"],
        "runtime": {
            "length": len(code),
            "immutables": [{"name": name, "start": start, "length": length} for start, length, name in places],
            "codeHash": "0x" + keccak(code).hex(),
        },
    }


def _slots_of(layout: dict[str, Any]) -> list[tuple[str, int]]:
    """The variables of the storage, and where each begins."""
    return [(found["label"], int(found["slot"])) for found in layout["storage"]]


def _immutables_of(sources: dict[str, Any]) -> dict[str, str]:
    """The immutables' names by the compiler's numbers for them."""
    return {
        str(member["id"]): member["name"]
        for source in sources.values()
        for node in source["ast"]["nodes"]
        if node["nodeType"] == "ContractDefinition"
        for member in node["nodes"]
        if member.get("mutability") == "immutable"
    }


def text_of(artifact: dict[str, Any]) -> str:
    """The artifact as it stands in its file."""
    return json.dumps(artifact, indent=2) + "\n"


def differences(committed: dict[str, Any], built: dict[str, Any]) -> list[str]:
    """What of the committed artifact is not what the sources give."""
    found = [key for key in built if key != "sources" and committed.get(key) != built[key]]
    before, now = committed.get("sources", {}), built["sources"]
    return found + [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]


def check(path: Path, artifact: dict[str, Any]) -> str | None:
    """Why the file at ``path`` is not ``artifact``, or None if it is."""
    try:
        committed = path.read_text(encoding="utf-8")
    except OSError:
        return f"{path.name} is missing"
    if committed == text_of(artifact):
        return None
    try:
        found = differences(json.loads(committed), artifact)
    except (ValueError, AttributeError):
        return f"{path.name} is not an artifact"
    return f"{path.name} differs from what the sources compile to, in: {', '.join(found) or 'its layout'}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the artifact is out of date")
    parser.add_argument("--output", type=Path, default=ARTIFACT, metavar="FILE", help="the artifact, if another")
    options = parser.parse_args(arguments)
    try:
        artifact = build()
    except Refusal as refusal:
        print(f"compile_contracts: {refusal}", file=sys.stderr)
        return 1
    if not options.check:
        options.output.write_text(text_of(artifact), encoding="utf-8")
        return 0
    difference = check(options.output, artifact)
    if difference is not None:
        print(f"compile_contracts: {difference}.\nRun scripts/compile_contracts.py and commit.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
