"""Labels for Zebra's printers (ZPL II): one label each, 70 × 37 mm at 203 dpi (8 dots a mm).

The printer draws the codes and the goods ids. What a batch has in common goes to it once, as a picture, since few
printers have a font with Chinese characters; it is deleted behind the last label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from node.codes.font import Font
from node.codes.label import CODE_SIZE, CODE_X, CODE_Y, HEIGHT, POINT, TEXT_X, TEXT_Y, WIDTH, Batch, Label, text_of
from node.codes.qr import QUIET, Symbol

DOTS = 8
MAGNIFICATION_MAX = 10
_SPECIAL = re.compile(r"[\^~_]")


def zpl(batch: Batch, labels: Iterable[Label], font: Font) -> Iterator[bytes]:
    """The print job, a label a piece."""
    text = text_of(batch, font)
    name = f"R:V{batch.serial_id % 10_000_000:07d}.GRF"
    left, top = int(TEXT_X * DOTS), int(TEXT_Y * DOTS)
    size = (int(WIDTH * DOTS) - left, int(HEIGHT * DOTS) - top)
    size = (size[0] // 8 * 8, size[1])
    picture = font.ink(
        size,
        [(line.x * DOTS - left, line.y * DOTS - top, line.points * POINT * DOTS, line.text) for line in text.lines],
    )
    packed = picture.tobytes()
    yield f"~DG{name},{len(packed)},{size[0] // 8},{packed.hex().upper()}\n".encode()
    places: dict[int, tuple[int, int, int]] = {}  # addresses of one length have codes of one size
    for label in labels:
        length = len(label.address)
        if length not in places:
            places[length] = _code(Symbol(label.address).size)
        code_x, code_y, magnification = places[length]
        line = text.of(label.goods_id)
        tall = round(line.points * POINT * DOTS)
        yield (
            f"^XA^CI28^PW{WIDTH * DOTS:.0f}^LL{HEIGHT * DOTS:.0f}^LH0,0"
            f"^FO{code_x},{code_y}^BQN,2,{magnification}^FH^FDMA,{_escaped(label.address)}^FS"
            f"^FO{left},{top}^XG{name},1,1^FS"
            f"^FT{line.x * DOTS:.0f},{line.y * DOTS:.0f}^A0N,{tall},{tall}^FD{label.goods_id}^FS^XZ\n"
        ).encode()
    yield f"^XA^ID{name}^FS^XZ\n".encode()


def _code(size: int) -> tuple[int, int, int]:
    """Left, top and dots a module of a code of ``size`` modules, centred where it may stand."""
    room = int(CODE_SIZE * DOTS)
    magnification = min(room // (size + 2 * QUIET), MAGNIFICATION_MAX)
    margin = (room - size * magnification) // 2
    return int(CODE_X * DOTS) + margin, int(CODE_Y * DOTS) + margin, magnification


def _escaped(address: str) -> str:
    """Characters that mean something to ZPL, as ^FH has them."""
    return _SPECIAL.sub(lambda found: f"_{ord(found[0]):02X}", address)
