"""What may be said of a file, and how one is served."""

from __future__ import annotations

import json
import time

import pytest

from node.domain.files import PAIRS_MAX, Described, Served, described, named_in, served
from node.errors import VTraceError

OCTETS = Served("application/octet-stream", inline=False)


def test_the_three_known_keys_and_own_ones() -> None:
    pairs = [
        ("Filename", "检验报告 №7.pdf"),
        ("content-type", "Application/PDF; charset=binary"),
        ("encoding", "BASE64"),
        ("lot", "7"),
        ("Lot", ""),
    ]
    assert described(pairs) == Described("检验报告 №7.pdf", "application/pdf", True, (("lot", "7"), ("Lot", "")))
    assert described([]) == Described()


BAD = {
    "unix path": ("filename", "../../etc/passwd"),
    "absolute path": ("filename", "/etc/passwd"),
    "windows path": ("filename", "..\\boot.ini"),
    "drive": ("filename", "C:boot.ini"),
    "this folder": ("filename", "."),
    "folder above": ("filename", ".."),
    "escaped path": ("filename", "%2e%2e%2fetc%2fpasswd"),
    "escaped backslash": ("filename", "a%5Cb"),
    "line break": ("filename", "a\r\nSet-Cookie: x"),
    "nul": ("filename", "a\0.png"),
    "direction override": ("filename", "a\u202egnp.exe"),
    "too many bytes": ("filename", "豆" * 86),
    "no type": ("content-type", "png"),
    "type with a line break": ("content-type", "image/png\r\nx: y"),
    "type with two slashes": ("content-type", "a/b/c"),
    "unknown encoding": ("encoding", "gzip"),
    "empty key": ("", "x"),
    "long key": ("k" * 65, "x"),
    "long value": ("k", "x" * 1_025),
    "key with a control": ("a\tb", "x"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_may_not_be_said_is_refused(name: str) -> None:
    key, value = BAD[name]
    with pytest.raises(VTraceError) as refused:
        described([("lot", "7"), (key, value)])
    (wrong,) = refused.value.fields
    assert wrong.field in (f"mds[{key}]", "mds.key")


def test_pairs_are_bounded_and_keys_stand_once() -> None:
    described([(str(number), "x") for number in range(PAIRS_MAX)])
    for pairs in ([(str(n), "x") for n in range(PAIRS_MAX + 1)], [("a", "1"), ("a", "1")], [("filename", "a")] * 2):
        with pytest.raises(VTraceError):
            described(pairs)
    with pytest.raises(VTraceError):
        described([("filename", "a"), ("FILENAME", "b")])


@pytest.mark.parametrize(
    ("sniffed", "declared", "expected"),
    [
        ("image/png", "", Served("image/png", inline=True)),
        ("image/png", "image/png", Served("image/png", inline=True)),
        ("image/jpeg", "image/jpg", Served("image/jpeg", inline=True)),
        ("image/png", "application/octet-stream", Served("image/png", inline=True)),
        ("image/png", "text/html", Served("image/png", inline=False)),
        ("application/pdf", "application/pdf", Served("application/pdf", inline=True)),
        ("text/plain", "text/csv", Served("text/plain; charset=utf-8", inline=True)),
        ("text/plain", "application/json", Served("text/plain; charset=utf-8", inline=True)),
        ("text/plain", "image/png", Served("text/plain; charset=utf-8", inline=False)),
        ("text/html", "text/html", OCTETS),
        ("text/html", "text/plain", OCTETS),
        ("text/html", "image/png", OCTETS),
        ("text/x-script", "text/plain", OCTETS),
        ("application/x-executable", "image/png", OCTETS),
        ("application/x-msdownload", "", OCTETS),
        ("application/zip", "application/zip", OCTETS),
        ("image/svg+xml", "image/svg+xml", OCTETS),
        ("application/octet-stream", "image/png", OCTETS),
    ],
)
def test_a_file_is_served_by_what_it_is(sniffed: str, declared: str, expected: Served) -> None:
    assert served(sniffed, declared) == expected


CID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
OTHER = "bafybeibhvyzkbgvrdcuozviaifz2h474jav5nig7nzlbsqxsxgijvrmura"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (b"", ()),
        (b"{}", ()),
        (b"no form: ipfs://" + CID.encode(), ()),
        (b'{"a":' * 10_000 + b'"ipfs"', ()),
        ({"photo": f"ipfs://{CID}"}, (CID,)),
        ({"photo": f"see http://127.0.0.1:8080/ipfs/{CID}, please"}, (CID,)),
        ({"photo": f"https://trace.example.com/files/ipfs/{CID}?download"}, (CID,)),
        ({"b": [{"c": f"ipfs://{OTHER}"}], "a": f"ipfs://{CID} ipfs://{OTHER}"}, (OTHER, CID)),
        ({"a": CID}, ()),
        ({f"ipfs://{CID}": 1}, ()),
        ({"a": f"ipfs://{CID}x"}, ()),
        ({"a": f"ipfs://{CID[:-1]}"}, ()),
        ({"a": f"ipfs://{CID[:-1]}v"}, ()),
        ({"a": "https://h/" + "a/" * 30_000}, ()),
        ({"a": "https://" * 8_000}, ()),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_files_that_a_form_names(form: dict[str, object] | bytes, expected: tuple[str, ...]) -> None:
    packed = form if isinstance(form, bytes) else json.dumps(form).encode()
    began = time.perf_counter()
    assert named_in(packed) == expected
    assert named_in(packed.replace(b"/", b"\\/").replace(b"ipfs", b"\\u0069pfs")) == expected
    assert time.perf_counter() - began < 5
