"""The font of the labels: Noto Sans SC, which comes with the node, so that no printer or reader lacks a character."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path

import pylopdf_fonts_zh_cn
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

ELLIPSIS = "…"
_MEASURED_AT = 1_000
_INK = 128

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells every step of making a font smaller


class NoGlyph(ValueError):
    """A text with a character that the font doesn't have; the message names it."""


class Font:
    """Measures, breaks and draws texts. Widths are in points."""

    path: Path = pylopdf_fonts_zh_cn.sans_path()

    @cached_property
    def _characters(self) -> frozenset[int]:
        with TTFont(self.path, lazy=True) as font:
            return frozenset(font.getBestCmap())

    @cached_property
    def _measured(self) -> ImageFont.FreeTypeFont:
        return self._sized(_MEASURED_AT)

    def _sized(self, pixels: float) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(self.path, pixels, layout_engine=ImageFont.Layout.BASIC)

    def check(self, what: str, text: str) -> None:
        """NoGlyph if a character of ``text`` can't be drawn."""
        for character in text:
            if ord(character) not in self._characters:
                raise NoGlyph(f"{what}: the labels' font has no {character!r} (U+{ord(character):04X})")

    def width(self, text: str, points: float) -> float:
        """How wide a text of this size is."""
        return float(self._measured.getlength(text)) * points / _MEASURED_AT

    def broken(self, text: str, points: float, width: float, lines: int) -> list[str]:
        """``text`` in at most ``lines`` lines, broken at spaces or between Chinese characters where that can be."""
        rest, made = " ".join(text.split()), []
        while rest:
            end = self._fitting(rest, points, width)
            if end == len(rest):
                made.append(rest)
                break
            if len(made) == lines - 1:
                end = self._fitting(rest, points, width - self.width(ELLIPSIS, points))
                made.append(rest[:end].rstrip() + ELLIPSIS)
                break
            end = _break_before(rest, end)
            made.append(rest[:end].rstrip())
            rest = rest[end:].lstrip()
        return made

    def _fitting(self, text: str, points: float, width: float) -> int:
        """How many characters of ``text`` fit, at least one."""
        low, high = 1, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.width(text[:middle], points) <= width:
                low = middle
            else:
                high = middle - 1
        return low

    def ink(self, size: tuple[int, int], texts: list[tuple[float, float, float, str]]) -> Image.Image:
        """A picture of 1 bit a pixel, ink set, of texts given as left end, baseline and size in pixels."""
        picture = Image.new("L", size, 0)
        draw = ImageDraw.Draw(picture)
        for x, y, pixels, text in texts:
            draw.text((x, y), text, fill=255, font=self._sized(pixels), anchor="ls")
        return picture.point(lambda value: 255 if value >= _INK else 0).convert("1")


def _break_before(text: str, end: int) -> int:
    """Where to break ``text``, of which ``end`` characters fit: not within a Latin word, if another place is near."""
    for at in range(end, end // 2, -1):
        before, after = text[at - 1], text[at]
        if before == " " or after == " " or _is_wide(before) or _is_wide(after):
            return at
    return end


def _is_wide(character: str) -> bool:
    return ord(character) >= 0x2E80
