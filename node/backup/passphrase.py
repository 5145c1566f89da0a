"""Where the passphrase of a backup comes from, and what is too little."""

from __future__ import annotations

from pathlib import Path

from node.errors import SetupError
from node.store.master_key import refuse_if_shared

CHARACTERS_MIN = 12
LINE_BYTES_MAX = 1_024


def from_file(path: Path) -> str:
    """The first line of a file that its owner alone can read."""
    what = f"--passphrase-file {path}"
    try:
        refuse_if_shared(what, path)
        with open(path, "rb") as file:
            line = file.readline(LINE_BYTES_MAX)
        return long_enough(what, line.decode().strip())
    except OSError as fault:
        raise SetupError(f"{what}: {fault.strerror}") from fault
    except UnicodeDecodeError:
        raise SetupError(f"{what}: want a line of text") from None


def long_enough(what: str, text: str) -> str:
    """The passphrase, if it is one that nobody tries out at a second a guess."""
    if len(text) < CHARACTERS_MIN:
        raise SetupError(f"{what}: {len(text)} characters, want {CHARACTERS_MIN} or more")
    return text
