"""Predict's data: every understood form gives the same numbers, and what is wrong is refused, fast and in words."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import Status, VTraceError
from node.models.card import Analyte, Axis, Input
from node.models.parse import bytes_max, parse

REFUSED_SECONDS_MAX = 0.1

THREE = Input(3, value_unit="absorbance")
ANALYTES = Input(2, (Analyte("alcohol", "%"), Analyte("od280/od315", "")))
AXIS = Input(5, value_unit="absorbance", axis=Axis("1/cm", 1000.0, 1400.0))
LARGE = Input(1841, value_unit="absorbance")

JDX = """##TITLE=a
##JCAMP-DX=4.24
##DATA TYPE=INFRARED SPECTRUM
##XUNITS=1/CM
##YUNITS=ABSORBANCE
##FIRSTX=1000
##LASTX=1200
##NPOINTS=3
##XFACTOR=1
##YFACTOR=0.5
##XYDATA=(X++(Y..Y))
1000 2 4
1200 6
##END=
"""


def jdx(**changes: str) -> bytes:
    """The file with labels changed; names have _ for a blank."""
    text = JDX
    for name, value in changes.items():
        label = name.upper().replace("_", " ")
        text = "".join(
            f"##{label}={value}\n" if line.startswith(f"##{label}=") else line
            for line in text.splitlines(keepends=True)
        )
    return text.encode()


SAME: dict[str, bytes] = {
    "a value a line": b"1\n2\n3\n",
    "Windows lines and blanks": b" 1 \r\n2\r\n3.0e0\r\n\r\n",
    "a byte order mark": b"\xef\xbb\xbf1\n2\n3",
    "a header": b"absorbance\n1\n2\n3",
    "rows": b"10,1\n20,2\n30,3",
    "descending rows": b"30,1\n20,2\n10,3",
    "rows with units": b"wavenumber [1/cm], value [absorbance]\n1000, 1\n1100, 2\n1200, 3",
    "JCAMP-DX": jdx(),
    "JCAMP-DX, packed": jdx(yfactor="1").replace(b"1000 2 4\n1200 6\n", b"1000AJJ\n"),
    "JCAMP-DX of pairs": jdx(yfactor="1")
    .replace(b"##XYDATA=(X++(Y..Y))", b"##XYPOINTS=(XY..XY)")
    .replace(b"1000 2 4\n1200 6\n", b"1000,1 1100,2\n1200,3\n"),
}


@pytest.mark.parametrize("form", SAME)
def test_every_form_of_a_spectrum_gives_its_values(form: str) -> None:
    assert parse(SAME[form], THREE).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "data",
    [
        b"alcohol,od280/od315\n12.5,3",
        b'od280/od315,"alcohol [%]"\r\n3,12.5\r\n',
        b'{"alcohol": 12.5, "od280/od315": 3}',
        b'{"od280/od315": 3.0, "alcohol [%]": 1.25e1}',
    ],
)
def test_every_form_of_analytes_gives_them_in_the_order_of_the_card(data: bytes) -> None:
    assert parse(data, ANALYTES).tolist() == [12.5, 3.0]


@pytest.mark.parametrize("order", [1, -1])
def test_a_spectrum_is_resampled_where_the_card_gives_an_axis(order: int) -> None:
    x = np.arange(990, 1411, 30)[::order]
    rows = "\n".join(f"{one},{one / 100}" for one in x)
    assert parse(rows.encode(), AXIS) == pytest.approx([10, 11, 12, 13, 14])
    down = Input(5, axis=Axis("1/cm", 1400.0, 1000.0))
    assert parse(rows.encode(), down) == pytest.approx([14, 13, 12, 11, 10])


def test_a_file_is_resampled_too() -> None:
    wanted = Input(3, axis=Axis("1/cm", 1000.0, 1200.0))
    assert parse(jdx(), wanted) == pytest.approx([1, 2, 3])


WRONG: dict[str, tuple[bytes, Input, str]] = {
    "nothing": (b"", THREE, "exactly 3 points"),
    "blanks": (b" \n\n", THREE, "exactly 3 points"),
    "too short": (b"1\n2", THREE, "2 points, want a spectrum of exactly 3 points"),
    "too long": (b"1\n2\n3\n4", THREE, "4 lines, want at most 3 points"),
    "NaN": (b"1\nnan\n3", THREE, "the line nan, want decimal numbers"),
    "infinity": (b"1\ninf\n3", THREE, "the line inf"),
    "overflow": (b"1\n1e999\n3", THREE, "no finite number"),
    "too large": (b"1\n1e31\n3", THREE, "numbers up to 1e\\+30"),
    "another alphabet's digits": ("1\n٢\n3".encode(), THREE, "decimal numbers"),
    "underscores": (b"1\n2_0\n3", THREE, "the line 2_0"),
    "decimal commas": (b"1,1,1\n1,2,2\n1,3,3", THREE, "more than two values"),
    "a gap": (b"1\n\n3", THREE, "a row without a number"),
    "two numbers a row": (b"1 2\n3\n4", THREE, "a row without a number, or with two"),
    "uneven rows": (b"1,2\n2\n3,4", THREE, "rows of unequal"),
    "x out of order": (b"1,1\n3,2\n2,3", THREE, "x that only ascends"),
    "x twice": (b"1,1\n1,2\n2,3", THREE, "x that only ascends"),
    "no text": (b"\xff\xfe1\n2", THREE, "byte 0 is not UTF-8"),
    "a NUL": (b"1\n2\x00\n3", THREE, "decimal numbers"),
    "JSON for a spectrum": (b"{}", THREE, "exactly 3 points"),
    "another unit": (b"x,value [transmittance]\n1,1\n2,2\n3,3", THREE, "values in transmittance, want values in abs"),
    "an empty list of analytes": (b"{}", ANALYTES, "no value for alcohol, od280"),
    "an analyte missing": (b'{"alcohol": 1}', ANALYTES, "no value for od280"),
    "an unknown analyte": (b'{"alcohol": 1, "sugar": 2}', ANALYTES, "the analyte sugar, want only alcohol, od280"),
    "an analyte twice": (b'{"alcohol": 1, "alcohol": 1, "od280/od315": 2}', ANALYTES, "each analyte once"),
    "twice by unit": (b'{"alcohol": 1, "alcohol [%]": 1, "od280/od315": 2}', ANALYTES, "alcohol twice"),
    "a unit that is wrong": (b'{"alcohol [g/l]": 1, "od280/od315": 2}', ANALYTES, "want alcohol in %"),
    "text for a number": (b'{"alcohol": "1", "od280/od315": 2}', ANALYTES, "the value of alcohol, want a number"),
    "true for a number": (b'{"alcohol": true, "od280/od315": 2}', ANALYTES, "the value of alcohol, want a number"),
    "NaN in JSON": (b'{"alcohol": NaN, "od280/od315": 2}', ANALYTES, "can't be read"),
    "a huge whole number": (b'{"alcohol": 1' + b"0" * 400 + b', "od280/od315": 2}', ANALYTES, "no finite number"),
    "JSON cut short": (b'{"alcohol": 1', ANALYTES, "can't be read"),
    "JSON without end": (b'{"a":' * 6_000, ANALYTES, "can't be read"),
    "a header alone": (b"alcohol,od280/od315", ANALYTES, "1 rows"),
    "two samples": (b"alcohol,od280/od315\n1,2\n3,4", ANALYTES, "3 rows"),
    "a value missing": (b"alcohol,od280/od315\n1", ANALYTES, "2 names and 1 values"),
    "an open quote": (b'alcohol,"od280\n1,2', ANALYTES, "CSV that can't be read|2 names"),
    "an axis, and no x": (b"1\n2\n3\n4\n5", AXIS, "values without x"),
    "an axis, not covered": (b"1000,1\n1100,1\n1200,1\n1300,1", AXIS, "want x that covers 1000 to 1400"),
    "an axis, too coarse": (b"1000,1\n1100,1\n1400,1", AXIS, "up to 300 apart, want at most 200"),
    "an axis of another unit": (b"x [nm],y\n1000,1\n1200,1\n1400,1", AXIS, "x in nm, want x in 1/cm"),
    "a file of too few points": (jdx(), Input(4), "3 points"),
    "a file of another unit": (jdx(yunits="TRANSMITTANCE"), THREE, "values in TRANSMITTANCE"),
    "a file that declares a billion": (jdx(npoints="999999999"), THREE, "##NPOINTS=999999999"),
    "a file that declares infinity": (jdx(npoints="inf"), THREE, "##NPOINTS=inf, no number"),
    "a file that declares half a point": (jdx(npoints="2.5"), THREE, "##NPOINTS=2.5"),
    "a file that declares one point": (jdx(npoints="1"), THREE, "##NPOINTS=1,"),
    "a file that declares too few": (jdx(npoints="2"), THREE, "JCAMP-DX that can't be read|3 points where 2"),
    "a file without FIRSTX": (jdx().replace(b"##FIRSTX=1000\n", b""), THREE, "no ##FIRSTX"),
    "a file without data": (jdx().split(b"##XYDATA")[0], THREE, "data as no table"),
    "a file of peaks": (jdx().replace(b"##XYDATA=(X++(Y..Y))", b"##PEAK TABLE=(XY..XY)"), THREE, "##PEAK TABLE"),
    "a file of several spectra": (jdx(data_type="LINK"), THREE, "several spectra"),
    "a label twice": (jdx() + b"##NPOINTS=3\n", THREE, "its label twice"),
    "a label without value": (jdx() + b"##OH\n", THREE, "the line ##OH"),
    "letters among numbers": (jdx().replace(b"1200 6", b"1200 x"), THREE, "can't be read"),
    "x that is off": (jdx().replace(b"1200 6", b"1700 6"), THREE, "X-Check failed"),
    "a file of garbage": (b"##" + b"\x01garbage\n" * 9, THREE, "the line"),
    "a file of NaN": (jdx(yfactor="nan"), THREE, "##YFACTOR=nan, no number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_in_words(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    data, wanted, words = WRONG[name]
    with pytest.raises(VTraceError, match=words) as refused:
        parse(data, wanted)
    assert refused.value.status is Status.INVALID_ARGUMENT
    assert refused.value.fields[0].field == "data"
    assert len(refused.value.message) < 700
    assert capsys.readouterr().out == ""


HOSTILE: dict[str, Callable[[], bytes]] = {
    "100 MB in one line": lambda: b"1" * 100_000_000,
    "the most in one line": lambda: b"1" * bytes_max(LARGE),
    "the most in commas": lambda: b"," * bytes_max(LARGE),
    "the most in lines": lambda: b"\n".join([b"1"] * (bytes_max(LARGE) // 2)),
    "the most in labels": lambda: b"##A=1\n" * (bytes_max(LARGE) // 6),
    "a file of one endless line": lambda: JDX.encode()[:-8] + b"9" * (bytes_max(LARGE) - len(JDX)),
    "a file that repeats itself": lambda: jdx().replace(b"1200 6", (b"1200J" + b"Z" * 250 + b"\n") * 500),
    "a file that declares a billion": lambda: jdx(npoints="1000000000"),
    "a file of many long lines": lambda: jdx().replace(b"1200 6", (b"1200" + b"J" * 250 + b"\n") * 500),
    "deep JSON": lambda: b'{"a":' * (bytes_max(ANALYTES) // 5),
    "zeros": lambda: b"\x00" * bytes_max(LARGE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_data_is_refused_at_once(name: str) -> None:
    data = HOSTILE[name]()
    wanted = ANALYTES if name == "deep JSON" else LARGE
    fastest = float("inf")
    for _ in range(3):
        began = time.process_time()
        with pytest.raises(VTraceError) as refused:
            parse(data, wanted)
        fastest = min(fastest, time.process_time() - began)
        assert refused.value.status is Status.INVALID_ARGUMENT
    assert fastest < REFUSED_SECONDS_MAX


_PIECES = st.sampled_from(
    ["##", "NPOINTS=", "XYDATA=(X++(Y..Y))", "\n", ",", "1", "-", "e", "9" * 30, "J", "Z", "%", "=", "{", '"', "[", " "]
)


@given(st.one_of(st.binary(max_size=300), st.lists(_PIECES, max_size=60).map(lambda parts: "".join(parts).encode())))
def test_anything_gives_finite_numbers_or_a_refusal(data: bytes) -> None:
    statuses = set()
    for wanted in (THREE, ANALYTES, AXIS):
        try:
            values = parse(data, wanted)
        except VTraceError as refusal:
            statuses.add(refusal.status)
        else:
            assert len(values) == wanted.length
            assert np.all(np.isfinite(values))
    assert statuses <= {Status.INVALID_ARGUMENT}
