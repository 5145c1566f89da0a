"""What stands on a label and where, whatever it is printed with. Lengths are in mm from the label's upper left.

A label is 70 × 37 mm, of which an A4 sheet has 3 × 8. What counts keeps 5 mm from its edges, since the outer labels
stand where most printers can't print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from node.codes.font import Font
from node.codes.qr import QUIET
from node.domain.gs1 import GTIN

WIDTH, HEIGHT = 70.0, 37.0
CODE_X, CODE_Y, CODE_SIZE = 3.5, 4.0, 29.0
"""Where the code stands, its quiet zone included."""
TEXT_X, TEXT_Y, TEXT_WIDTH = 34.0, 5.0, 31.0
LEADING, GAP = 1.25, 0.6
POINT = 25.4 / 72
_BEIJING = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class Batch:
    """What the labels of a serial have in common, and how many there are.

    ``product_time`` is in microseconds since 1970; ``gtin`` has 14 digits, or none.
    """

    class_name: str
    org_name: str
    serial_id: int
    product_time: int
    gtin: str
    total: int


@dataclass(frozen=True, slots=True)
class Label:
    """The label of one goods; ``address`` is what its code says."""

    goods_id: int
    address: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text: its left end and baseline, its size in points."""

    x: float
    y: float
    points: float
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """The lines that all labels of a batch have, and where the goods id goes."""

    lines: tuple[Line, ...]
    goods: Line

    def of(self, goods_id: int) -> Line:
        """The line that only one label has."""
        return Line(self.goods.x, self.goods.y, self.goods.points, f"{goods_id}")


def text_of(batch: Batch, font: Font) -> Text:
    """The texts of a batch's labels, broken to fit; what is longer than its lines ends in an ellipsis."""
    day = datetime.fromtimestamp(batch.product_time // 1_000_000, UTC) + _BEIJING
    lines: list[Line] = []
    y = TEXT_Y
    parts: Sequence[tuple[str, float, int, float]] = (
        (batch.class_name, 9.0, 2, 0.0),
        (batch.org_name, 7.0, 2, GAP),
        (f"生产 Produced {day:%Y-%m-%d}", 6.5, 1, GAP),
        (f"批次 Batch {batch.serial_id}", 6.5, 1, 0.0),
        *([(f"({GTIN}) {batch.gtin}", 6.5, 1, 0.0)] if batch.gtin else []),
        ("货品 Goods", 7.5, 1, 0.0),
    )
    for text, points, count, gap in parts:
        y += gap
        for shown in font.broken(text, points, TEXT_WIDTH / POINT, count):
            y += points * POINT * LEADING
            lines.append(Line(TEXT_X, round(y, 3), points, shown))
    last = lines[-1]
    after = TEXT_X + font.width(last.text + " ", last.points) * POINT
    return Text(tuple(lines), Line(round(after, 3), last.y, last.points, ""))


def code_place(size: int) -> tuple[float, float, float]:
    """Left, top and module width of a code of ``size`` modules, its quiet zone left free."""
    module = CODE_SIZE / (size + 2 * QUIET)
    return CODE_X + QUIET * module, CODE_Y + QUIET * module, module
