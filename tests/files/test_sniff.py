"""What content is, by its first bytes."""

from __future__ import annotations

import pytest

from node.domain.files import served
from node.files.sniff import HTML, SCRIPT, TEXT, UNKNOWN, sniff

KNOWN = {
    "image/png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(60),
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01" + bytes(60),
    "image/gif": b"GIF89a" + bytes(60),
    "image/webp": b"RIFF\x24\0\0\0WEBPVP8 " + bytes(60),
    "application/pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(60),
    "video/mp4": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(60),
    "audio/x-wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(60),
    "application/x-executable": b"\x7fELF\x02\x01\x01" + bytes(60),
    "application/x-msdownload": b"MZ\x90\0\x03\0\0\0\x04" + bytes(60),
    "application/zip": b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(60),
    "application/gzip": b"\x1f\x8b\x08\0" + bytes(60),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_known_types_are_told(kind: str) -> None:
    assert sniff(KNOWN[kind]) == kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", UNKNOWN),
        (bytes(100), UNKNOWN),
        (bytes(range(256)), UNKNOWN),
        (b"latin \xe9", UNKNOWN),
        (b"lot,analyte\n7,1.5\n", TEXT),
        ("检验报告\n".encode(), TEXT),
        (("x" * 4_095 + "豆").encode(), TEXT),  # cut in the middle of a character
        (b"\xef\xbb\xbflot;7\r\n", TEXT),
        (b"<!DOCTYPE html><script>alert(1)</script>", HTML),
        (b"\n\t <hTmL>", HTML),
        (b"\xef\xbb\xbf<svg xmlns='http://www.w3.org/2000/svg' onload='x'>", HTML),
        (b"<?xml version='1.0'?>", HTML),
        (b"<script>", HTML),
        (b"#!/bin/sh\nrm -rf /", SCRIPT),
    ],
)
def test_text_markup_and_scripts_are_told_apart(head: bytes, kind: str) -> None:
    assert sniff(head) == kind


def test_nothing_that_runs_is_shown_in_place() -> None:
    for head in (KNOWN["application/x-executable"], KNOWN["application/x-msdownload"], b"<html>", b"#!/bin/sh"):
        for declared in ("", "image/png", "text/plain", "text/html", "application/pdf"):
            assert not served(sniff(head), declared).inline
