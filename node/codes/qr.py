"""QR codes (ISO/IEC 18004) of addresses, with error correction of at least M (15 %) and the quiet zone of 4 modules."""

from __future__ import annotations

import io
from collections.abc import Iterator

import segno

QUIET = 4
VERSION_MAX = 13
"""A code of 69 modules: in 29 mm they are 0.38 mm wide, about as small as phones read from a printed label."""
ADDRESS_LENGTH_MAX = 331
"""What a code of that version holds."""
MODULE_PIXELS = 10


class TooLong(ValueError):
    """An address that fits no code of VERSION_MAX."""


class Symbol:
    """The code of one address: ``size`` modules a side, quiet zone not counted."""

    def __init__(self, address: str, mask: int | None = None) -> None:
        try:
            self._code = segno.make_qr(address, error="m", mode="byte", mask=mask)
        except segno.DataOverflowError as fault:
            raise _too_long(address) from fault
        if not isinstance(self._code.version, int) or self._code.version > VERSION_MAX:
            raise _too_long(address)
        self.size = len(self._code.matrix)
        self.mask = int(self._code.mask)

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """The dark modules as (column, row, length) of each run, rows from the top."""
        for y, row in enumerate(self._code.matrix):
            at = row.find(1)
            while at >= 0:
                end = row.find(0, at)
                end = len(row) if end < 0 else end
                yield at, y, end - at
                at = row.find(1, end)

    def svg(self) -> bytes:
        """An SVG document, quiet zone included."""
        return self._saved("svg", xmldecl=False, svgclass=None, lineclass=None, omitsize=True, light="#fff")

    def png(self) -> bytes:
        """A PNG of MODULE_PIXELS a module, quiet zone included."""
        return self._saved("png", scale=MODULE_PIXELS)

    def _saved(self, kind: str, **settings: object) -> bytes:
        made = io.BytesIO()
        self._code.save(made, kind=kind, border=QUIET, **settings)
        return made.getvalue()


def _too_long(address: str) -> TooLong:
    return TooLong(
        f"address of {len(address)} characters, want at most {ADDRESS_LENGTH_MAX} in a code: {address[:80]}…"
    )
