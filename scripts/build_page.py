#!/usr/bin/env python3
"""Builds the page's script from node/page/script into node/page/static/check.js. ``--check`` only compares.

Needs the npm packages of package.json (scripts/test installs them). The same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from node.chain import contract  # noqa: E402

SOURCES = ROOT / "node" / "page" / "script"
BUNDLE = ROOT / "node" / "page" / "static" / "check.js"
PACKED_BYTES_MAX = 20 * 1024
BUILD_SECONDS_MAX = 120
BIN = ROOT / "node_modules" / ".bin"


def facts() -> str:
    """What the script must know of the contract, as JSON."""
    code = bytearray(contract.runtime_code(1, "0x" + "11" * 20))
    places = [(place["start"], place["length"]) for place in contract.artifact()["runtime"]["immutables"]]
    for start, length in places:
        code[start : start + length] = bytes(length)
    known = {
        "circulated": "0x" + contract.CIRCULATED_TOPIC.hex(),
        "registered": "0x" + contract.ACTOR_REGISTERED_TOPIC.hex(),
        "goodsOf": "0x" + contract.goods_of_data(1)[:4].hex(),
        "length": len(code),
        "immutables": places,
        "sha256": hashlib.sha256(code).hexdigest(),
    }
    return json.dumps(known, separators=(",", ":"))


def build() -> bytes:
    """The bundle; exits with the tools' own words if the sources are wrong."""
    _run(str(BIN / "tsc"), "--project", str(SOURCES))
    return _run(
        str(BIN / "esbuild"),
        "node/page/script/main.ts",
        "--bundle",
        "--minify",
        "--format=iife",
        "--target=es2022",
        "--charset=utf8",
        "--legal-comments=none",
        "--log-level=warning",
        f"--define:CONTRACT={facts()}",
    )


def _run(*command: str) -> bytes:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=BUILD_SECONDS_MAX, check=False)
    if done.returncode:
        sys.exit((done.stdout + done.stderr).decode(errors="replace") or f"{command[0]}: exit {done.returncode}")
    return done.stdout


def main() -> None:
    """Write the bundle, or compare it with the committed one."""
    parser = argparse.ArgumentParser(description="Build the page's script.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the committed bundle differs")
    checking = parser.parse_args().check
    bundle = build()
    packed = len(gzip.compress(bundle, mtime=0))
    if packed > PACKED_BYTES_MAX:
        sys.exit(f"the page's script is {packed} bytes gzipped, want at most {PACKED_BYTES_MAX}")
    if not checking:
        BUNDLE.write_bytes(bundle)
        print(f"{BUNDLE.relative_to(ROOT)}: {len(bundle)} bytes, {packed} gzipped")
    elif not BUNDLE.is_file() or BUNDLE.read_bytes() != bundle:
        sys.exit(f"{BUNDLE.relative_to(ROOT)} is not what its sources give: run scripts/build_page.py")


if __name__ == "__main__":
    main()
