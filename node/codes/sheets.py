"""Labels as A4 sheets of 3 × 8, as PDF and as SVG. Codes are drawn as areas, so they stay sharp at any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from fpdf import FPDF

from node.codes.font import Font
from node.codes.label import HEIGHT, POINT, WIDTH, Batch, Label, code_place, text_of
from node.codes.qr import Symbol

PAGE_WIDTH, PAGE_HEIGHT = 210.0, 297.0
COLUMNS, ROWS = 3, 8
TOP = (PAGE_HEIGHT - ROWS * HEIGHT) / 2
A_SHEET = COLUMNS * ROWS
_FONT = "label"
_FAMILIES = "'Noto Sans SC','Noto Sans CJK SC','Source Han Sans SC','Microsoft YaHei','PingFang SC',sans-serif"


def pdf(batch: Batch, labels: Iterable[Label], font: Font) -> Iterator[bytes]:
    """A PDF, the font's characters that it uses within it; as one piece, once all labels are drawn."""
    text = text_of(batch, font)
    made = FPDF(unit="mm", format="A4")
    made.set_auto_page_break(False)
    made.set_title(f"{batch.class_name} {batch.serial_id}")
    made.add_font(_FONT, fname=font.path)
    for at, (label, symbol) in enumerate(_with_codes(labels)):
        if at % A_SHEET == 0:
            made.add_page()
        x, y = _place(at)
        for line in (*text.lines, text.of(label.goods_id)):
            made.set_font(_FONT, size=line.points)
            made.text(x + line.x, y + line.y, line.text)
        # The library's own rectangles would take a minute for 10,000 codes: each code is one path, in modules.
        made._out(_path(symbol, x, y))
    yield bytes(made.output())


def _path(symbol: Symbol, x: float, y: float) -> str:
    """A code as PDF operators; the page's origin is its lower left, in points."""
    left, top, module = code_place(symbol.size)
    scale = module / POINT
    origin = f"{(x + left) / POINT:.3f} {(PAGE_HEIGHT - y - top) / POINT:.3f}"
    areas = " ".join(f"{column} {row} {length} 1 re" for column, row, length in symbol.runs())
    return f"q {scale:.5f} 0 0 {-scale:.5f} {origin} cm {areas} f Q"


def svg(batch: Batch, labels: Iterable[Label], font: Font) -> Iterator[bytes]:
    """One SVG document with the sheets below one another. Its texts take whatever font its reader has."""
    text = text_of(batch, font)
    height = -(-batch.total // A_SHEET) * PAGE_HEIGHT
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{PAGE_WIDTH:g}mm" height="{height:g}mm" '
        f'viewBox="0 0 {PAGE_WIDTH:g} {height:g}" font-family="{_FAMILIES}">'
        f'<rect width="100%" height="100%" fill="#fff"/>\n'
    ).encode()
    for at, (label, symbol) in enumerate(_with_codes(labels)):
        x, y = _place(at)
        left, top, module = code_place(symbol.size)
        lines = "".join(
            f'<text x="{line.x:g}" y="{line.y:g}" font-size="{line.points * POINT:.3f}">{escape(line.text)}</text>'
            for line in (*text.lines, text.of(label.goods_id))
        )
        yield (
            f'<g id="goods-{label.goods_id}" transform="translate({x:g} {y + at // A_SHEET * PAGE_HEIGHT:g})">{lines}'
            f'<path transform="translate({left:.4f} {top:.4f})scale({module:.6f})" d="{_strokes(symbol)}" '
            f'stroke="#000" shape-rendering="crispEdges"/></g>\n'
        ).encode()
    yield b"</svg>\n"


def _strokes(symbol: Symbol) -> str:
    """A code as an SVG path whose strokes are a module wide."""
    drawn, at = [], (0, -1)
    for column, row, length in symbol.runs():
        drawn.append(f"m{column - at[0]} 0" if row == at[1] else f"M{column} {row}.5")
        drawn.append(f"h{length}")
        at = column + length, row
    return "".join(drawn)


def _place(at: int) -> tuple[float, float]:
    """Left and top of the label with this number on its sheet."""
    row, column = divmod(at % A_SHEET, COLUMNS)
    return column * WIDTH, TOP + row * HEIGHT


def _with_codes(labels: Iterable[Label]) -> Iterator[tuple[Label, Symbol]]:
    """Each label and its code. All get the mask that is best for the first.

    Their addresses differ in little, and readers take any mask; to weigh all eight for each takes five times as long.
    """
    mask = None
    for label in labels:
        symbol = Symbol(label.address, mask)
        mask = symbol.mask
        yield label, symbol
