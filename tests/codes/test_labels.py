"""Labels as PDF, SVG and ZPL: every code read back, every text in its place."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import pypdf
import pypdfium2
import pytest
import zxingcpp
from PIL import Image

from node.codes.font import Font, NoGlyph
from node.codes.label import HEIGHT, POINT, TEXT_WIDTH, TEXT_X, WIDTH, Batch, Label, code_place, text_of
from node.codes.qr import QUIET, Symbol
from node.codes.sheets import A_SHEET, pdf, svg
from node.codes.zpl import DOTS, zpl

FONT = Font()
CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
NAMES = [
    ("云南小粒咖啡 Yunnan Catimor, washed", "高黎贡山咖啡合作社有限责任公司"),
    ("A", "B"),
    ("普洱茶" * 42, "Cooperative of the coffee growers of the upper valleys " * 2),
    ("W" * 128, "i" * 64),
]


def batch(total: int, name: str = NAMES[0][0], org: str = NAMES[0][1], gtin: str = "06901234567892") -> Batch:
    return Batch(name, org, 12, 1_760_000_000_000_000, gtin, total)


def labels(total: int, first: int = 1) -> list[Label]:
    ids = range(first, first + total)
    return [
        Label(one, f"https://trace.example.com/01/06901234567892/10/12/21/{one}#c=94920696226661:{CONTRACT}")
        for one in ids
    ]


def test_every_code_of_a_pdf_leads_where_it_should() -> None:
    wanted = labels(A_SHEET + 2, first=99_990)
    (made,) = pdf(batch(len(wanted)), wanted, FONT)
    read: list[str] = []
    with pypdfium2.PdfDocument(made) as document:
        assert len(document) == 2
        for page in document:
            assert [round(side / 72 * 25.4) for side in page.get_size()] == [210, 297]
            found = zxingcpp.read_barcodes(page.render(scale=300 / 72).to_pil())
            read += [
                one.text
                for one in sorted(found, key=lambda one: (one.position.top_left.y // 50, one.position.top_left.x))
            ]
    assert read == [label.address for label in wanted]


def test_a_pdf_has_its_texts_and_its_font_within_it() -> None:
    (made,) = pdf(batch(2), labels(2), FONT)
    with pypdfium2.PdfDocument(made) as document:
        text = " ".join(document[0].get_textpage().get_text_range().split())
    for said in (
        "云南小粒咖啡",
        "高黎贡山咖啡合作社",
        "Produced 2025-10-09",
        "Batch 12",
        "(01) 06901234567892",
        "货品 Goods",
    ):
        assert text.count(said) == 2, said
    reader = pypdf.PdfReader(io.BytesIO(made))
    fonts = [font.get_object() for font in reader.pages[0]["/Resources"]["/Font"].values()]
    assert len(fonts) == 1
    descriptor = fonts[0]["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
    assert descriptor.keys() & {"/FontFile2", "/FontFile3"}


@pytest.mark.parametrize(("name", "org"), NAMES)
@pytest.mark.parametrize("gtin", ["", "06901234567892"])
def test_nothing_stands_over_the_edges_of_a_label(name: str, org: str, gtin: str) -> None:
    text = text_of(batch(1, name, org, gtin), FONT)
    for line in (*text.lines, text.of(2**31 - 1)):
        assert line.x >= TEXT_X
        assert line.x + FONT.width(line.text, line.points) * POINT <= TEXT_X + TEXT_WIDTH
        assert line.y - line.points * POINT >= 5
        assert line.y <= HEIGHT - 4
    for facts in ("Produced 2025-10-09", "Batch 12", "货品 Goods"):
        assert any(facts in line.text for line in text.lines)
    for size in (21, 45, 69):
        left, top, module = code_place(size)
        assert left - QUIET * module >= 3
        assert left + (size + QUIET) * module <= TEXT_X
        assert top + (size + QUIET) * module <= HEIGHT - 3
        assert module >= 0.375


def test_a_long_name_ends_in_an_ellipsis_and_words_stay_whole() -> None:
    long, short = "Cooperative of the coffee growers of the upper valleys", "Coffee growers of Yunnan"
    assert FONT.broken(short, 9, 70, 2) == ["Coffee growers", "of Yunnan"]
    lines = FONT.broken(long, 9, 80, 2)
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert FONT.broken("  a \n b ", 9, 80, 2) == ["a b"]
    assert FONT.broken("", 9, 80, 2) == []


def test_a_character_that_the_font_does_not_have_is_named() -> None:
    FONT.check("class", "云南小粒咖啡 Phở ế Ж 龘 №")
    with pytest.raises(NoGlyph, match=r"class: the labels' font has no '🐉' \(U\+1F409\)"):
        FONT.check("class", "龙🐉")


def test_an_svg_has_every_code_and_text() -> None:
    wanted = labels(A_SHEET + 1)
    root = ElementTree.fromstring(b"".join(svg(batch(len(wanted), "A & <b>"), wanted, FONT)))
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("viewBox") == "0 0 210 594"
    groups = root.findall(f"{space}g")
    assert [group.get("id") for group in groups] == [f"goods-{label.goods_id}" for label in wanted]
    assert groups[-1].get("transform") == "translate(0 297.5)"
    for group, label in zip(groups[:3] + groups[-1:], wanted[:3] + wanted[-1:], strict=True):
        texts = [one.text for one in group.findall(f"{space}text")]
        assert texts[0] == "A & <b>"
        assert texts[-1] == str(label.goods_id)
        (read,) = zxingcpp.read_barcodes(_stroked(group.find(f"{space}path").get("d")))  # type: ignore[union-attr, arg-type]
        assert read.text == label.address


def _stroked(path: str) -> Image.Image:
    """A path of strokes as a picture of 4 pixels a module."""
    picture, x, y = Image.new("L", (80, 80), 255), 0, 0
    for kind, numbers in re.findall(r"([Mmh])([0-9. ]+)", path):
        values = [float(number) for number in numbers.split()]
        if kind == "M":
            x, y = int(values[0]), int(values[1])
        elif kind == "m":
            x += int(values[0])
        else:
            picture.paste(0, (x + 5, y + 5, x + 5 + int(values[0]), y + 6))
            x += int(values[0])
    return picture.resize((320, 320), Image.Resampling.NEAREST)


def test_zpl_is_one_picture_and_a_label_each() -> None:
    wanted = labels(3, first=2**31 - 3)
    head, *middle, tail = b"".join(zpl(batch(3), wanted, FONT)).decode().splitlines()
    assert len(middle) == 3
    name, size, width, content = re.fullmatch(r"~DG(R:[A-Z0-9]{1,8}\.GRF),(\d+),(\d+),([0-9A-F]+)", head).groups()  # type: ignore[union-attr]
    assert len(content) == 2 * int(size)
    assert int(size) % int(width) == 0
    assert tail == f"^XA^ID{name}^FS^XZ"
    for line, label in zip(middle, wanted, strict=True):
        fields = line.removeprefix("^XA").removesuffix("^XZ").split("^FS")
        assert line.count("^XA") == line.count("^XZ") == 1
        assert fields[0].startswith("^CI28^PW560^LL296^LH0,0^FO")
        at, magnification, data = re.search(r"\^FO(\d+,\d+)\^BQN,2,(\d+)\^FH\^FDMA,(.*)$", fields[0]).groups()  # type: ignore[union-attr]
        assert data == label.address
        x, y = (int(number) for number in at.split(","))
        dots = Symbol(label.address).size * int(magnification)
        quiet = QUIET * int(magnification)
        assert x - quiet >= 0 <= y - quiet
        assert x + dots + quiet <= TEXT_X * DOTS
        assert y + dots + quiet <= HEIGHT * DOTS
        assert fields[1].endswith(f"^XG{name},1,1")
        assert fields[2].endswith(f"^FD{label.goods_id}")


def test_zpl_s_picture_has_ink_where_the_texts_are() -> None:
    head = next(iter(zpl(batch(1), labels(1), FONT))).decode()
    size, width, content = re.search(r",(\d+),(\d+),([0-9A-F]+)", head).groups()  # type: ignore[union-attr]
    rows = int(size) // int(width)
    picture = Image.frombytes("1", (int(width) * 8, rows), bytes.fromhex(content)).convert("L")
    box = picture.getbbox()
    assert box is not None
    assert TEXT_X * DOTS + box[2] <= WIDTH * DOTS
    assert rows / 2 < box[3] - box[1] <= rows
    assert 0.03 < sum(picture.histogram()[128:]) / (picture.width * picture.height) < 0.3


def test_characters_that_mean_something_to_zpl_are_written_otherwise() -> None:
    odd = Label(1, "https://h.example/~x_y/t/1#c=1:0xab^XZ")
    pieces = [piece.decode() for piece in zpl(batch(1), [odd], FONT)]
    assert "^FH^FDMA,https://h.example/_7Ex_5Fy/t/1#c=1:0xab_5EXZ^FS" in pieces[1]
    assert pieces[1].count("^XZ") == 1
