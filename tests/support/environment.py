"""Environments of their own, for tools whose requirements are not the project's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

INSTALL_SECONDS_MAX = 600


def environment(home: Path, *packages: str) -> Path | None:
    """The Python of an environment with pinned packages, made at first need; None, with a line, where it can't be."""
    python, stamp, wanted = home / "bin" / "python", home / "ready", " ".join(packages)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(home, ignore_errors=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    for step in ([sys.executable, "-m", "venv", str(home)], pip):
        try:
            done = subprocess.run(step, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            print(f"{wanted}: {' '.join(step)} took more than {INSTALL_SECONDS_MAX} s", file=sys.stderr)
            return None
        if done.returncode:
            print(f"{wanted}: {' '.join(step)} failed:\n{done.stderr}", file=sys.stderr)
            return None
    stamp.write_text(wanted)
    return python
