"""What a backup holds, under which names, and what it says of itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

FORMAT = 1
MANIFEST_BYTES_MAX = 64 * 1024
MANIFEST, INDEX, DUMP, CHAIN, FILES = "manifest.json", "index.sqlite3", "index.pgdump", "chain.sqlite3", "files"
MASTER_KEYS = ("master.key", "master.key.new")
"""The second is there only where a change of the master key was cut short."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The first member. ``index`` is the member that has it, INDEX or DUMP, ``made_at`` in microseconds since 1970,
    ``size`` about how many bytes it unpacks to."""

    format: int
    version: str
    index: str
    schema: str
    made_at: int
    chain_id: str
    contract: str
    has_chain: bool
    has_master_key: bool
    size: int

    def to_json(self) -> bytes:
        """As it stands in the archive."""
        return json.dumps(asdict(self), indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """The manifest again; ValueError for what is none, or one of a format that this version does not know."""
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"a backup of format {found.get('format') if isinstance(found, dict) else None}")
        try:
            made = cls(**found)
        except TypeError as fault:
            raise ValueError(str(fault)) from fault
        for name, kind in cls.__annotations__.items():
            if type(getattr(made, name)).__name__ != kind:
                raise ValueError(f"{name} is no {kind}")
        return made
