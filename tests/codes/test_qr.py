"""Codes, read back by another library than the one that draws them."""

from __future__ import annotations

import io

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from node.codes.qr import ADDRESS_LENGTH_MAX, MODULE_PIXELS, QUIET, Symbol, TooLong

ADDRESS = "https://trace.example.com/01/06901234567892/10/12/21/17#c=94920696226661:0x5FbDB2315678afecb367f032d93F642f64180aa3"


def drawn(symbol: Symbol) -> Image.Image:
    """A code as its runs say, 4 pixels a module."""
    side = symbol.size + 2 * QUIET
    picture = Image.new("L", (side, side), 255)
    for column, row, length in symbol.runs():
        picture.paste(0, (QUIET + column, QUIET + row, QUIET + column + length, QUIET + row + 1))
    return picture.resize((side * 4, side * 4), Image.Resampling.NEAREST)


def test_a_png_has_its_quiet_zone_and_leads_where_it_should() -> None:
    symbol = Symbol(ADDRESS)
    picture = Image.open(io.BytesIO(symbol.png())).convert("L")
    side = (symbol.size + 2 * QUIET) * MODULE_PIXELS
    assert picture.size == (side, side)
    margin = QUIET * MODULE_PIXELS
    assert picture.point(lambda value: 255 - value).getbbox() == (margin, margin, side - margin, side - margin)
    (read,) = zxingcpp.read_barcodes(picture)
    assert (read.text, read.format) == (ADDRESS, zxingcpp.BarcodeFormat.QRCode)
    assert read.ec_level in ("M", "Q", "H")


@settings(max_examples=40, deadline=None)
@given(st.text("abcXYZ019/:#?&=%-._~", min_size=1, max_size=ADDRESS_LENGTH_MAX), st.sampled_from([None, 0, 5]))
def test_any_address_can_be_read(address: str, mask: int | None) -> None:
    (read,) = zxingcpp.read_barcodes(drawn(Symbol(address, mask)))
    assert read.text == address


def test_an_address_that_fits_no_code_is_refused() -> None:
    assert Symbol("x" * ADDRESS_LENGTH_MAX).size == 69
    for length in (ADDRESS_LENGTH_MAX + 1, 10_000):
        with pytest.raises(TooLong, match=f"address of {length} characters, want at most {ADDRESS_LENGTH_MAX}"):
            Symbol("x" * length)


def test_an_svg_has_light_ground_and_quiet_zone() -> None:
    symbol = Symbol(ADDRESS)
    text = symbol.svg().decode()
    side = symbol.size + 2 * QUIET
    assert f'viewBox="0 0 {side} {side}"' in text
    assert "#fff" in text
    assert "<script" not in text
