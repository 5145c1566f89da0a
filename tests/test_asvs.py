"""The table of docs/asvs.md: no requirement is missing, no cell is empty, and every test that it names exists.

What has no better place of its own is tested here too.
"""

from __future__ import annotations

import ast
import re
import socket
from functools import cache
from pathlib import Path

import pytest

from node.store import tables
from node.store.db import Store
from tests.support.node import RunningNode

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "asvs.md"
LAST = (
    "1.1:2 1.2:9 1.3:11 1.4:3 1.5:2 2.1:3 2.2:3 2.3:4 2.4:1 3.2:2 3.3:4 3.4:6 3.5:5 3.7:2 4.1:3 4.2:1 4.3:2 4.4:4 "
    "5.1:1 5.2:3 5.3:2 5.4:3 6.1:3 6.2:12 6.3:4 6.4:4 6.5:5 6.6:3 6.8:4 7.1:3 7.2:4 7.3:2 7.4:5 7.5:2 7.6:2 8.1:2 "
    "8.2:3 8.3:1 8.4:1 9.1:3 9.2:4 10.1:2 10.2:2 10.3:4 10.4:11 10.5:5 10.6:2 10.7:3 11.1:2 11.2:3 11.3:3 11.4:4 "
    "11.5:1 11.6:1 12.1:3 12.2:2 12.3:4 13.1:1 13.2:5 13.3:2 13.4:5 14.1:2 14.2:4 14.3:3 15.1:3 15.2:3 15.3:7 16.1:1 "
    "16.2:5 16.3:4 16.4:3 16.5:3 17.1:1 17.2:4 17.3:2"
)
"""ASVS 5.0.0's sections, each with its last requirement of levels 1 and 2; in a section they count from 1."""
NOT_MET, DOES_NOT_APPLY = "Not met: ", "Does not apply: "


def rows() -> list[list[str]]:
    """The cells of every row of the tables."""
    lines = [line for line in TABLE.read_text().splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@cache
def names_in(path: Path) -> frozenset[str]:
    """The names of the tests in a file."""
    found = ast.walk(ast.parse(path.read_text()))
    return frozenset(one.name for one in found if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)))


def test_every_requirement_of_level_2_has_its_row() -> None:
    wanted = []
    for each in LAST.split():
        section, _, last = each.partition(":")
        wanted += [f"{section}.{number}" for number in range(1, int(last) + 1)]
    assert len(wanted) == 253
    assert [row[0] for row in rows()] == wanted


def test_no_cell_is_empty_and_every_named_test_exists() -> None:
    for row in rows():
        assert len(row) == 4, row
        number, asked, how, tested = row
        assert asked, number
        assert len(how.removeprefix(NOT_MET).removeprefix(DOES_NOT_APPLY)) >= 4, number
        named = re.findall(r"`([^`]+)`", tested)
        if how.startswith(DOES_NOT_APPLY):
            assert tested == "none needed", number
        elif not how.startswith(NOT_MET):
            assert named, f"{number}: what is met is held by a test"
        for name in named:
            path, _, test = name.partition("::")
            assert test in names_in(ROOT / "tests" / path), f"{number}: {name}"


def test_the_sum_is_what_the_rows_say() -> None:
    hows = [row[2] for row in rows()]
    not_met = sum(how.startswith(NOT_MET) for how in hows)
    not_applying = sum(how.startswith(DOES_NOT_APPLY) for how in hows)
    met = len(hows) - not_met - not_applying
    told = f"Of {len(hows)} requirements {met} are met, {not_met} are not, {not_applying} do not apply."
    assert told in TABLE.read_text()


def test_the_chapters_sum_up_their_rows() -> None:
    text = (TABLE.parent / "security.md").read_text()
    chapters = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if re.match(r"\| V\d", line)
    ]
    assert [chapter[0] for chapter in chapters] == re.findall(r"^## (V.+)$", TABLE.read_text(), re.MULTILINE)
    for title, met, not_met, not_applying, how, tested in chapters:
        number = title.split()[0].removeprefix("V")
        hows = [row[2] for row in rows() if row[0].startswith(f"{number}.")]
        told = (sum(one.startswith(NOT_MET) for one in hows), sum(one.startswith(DOES_NOT_APPLY) for one in hows))
        assert (int(not_met), int(not_applying)) == told, title
        assert int(met) == len(hows) - sum(told), title
        assert how, title
        path, _, test = tested.strip("`").partition("::")
        assert tested == "none needed" if met == "0" else test in names_in(ROOT / "tests" / path), title


def test_what_the_table_points_to_is_there() -> None:
    for target in set(re.findall(r"\]\(([a-z-]+\.md)\)", TABLE.read_text())):
        assert (TABLE.parent / target).is_file(), target
    sections = re.findall(r"^## (.+)$", (TABLE.parent / "security.md").read_text(), re.MULTILINE)
    assert {"Cryptography", "Who talks to whom", "The audit log", "Tokens", "Logging in"} <= set(sections)


def test_a_new_index_has_no_user(tmp_path: Path) -> None:
    store = Store(tmp_path / "index.sqlite3")
    try:
        assert tables.run('SELECT count(*) FROM "user"').fetchone() == (0,)
    finally:
        store.close()


@pytest.mark.parametrize("path", ["/", "/t/1", "/api/v1/contract/name:call", "/rpc", "/files/x"])
def test_the_method_trace_is_not_answered(node: RunningNode, path: str) -> None:
    host, _, port = node.ready["http"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(f"TRACE {path} HTTP/1.1\r\nHost: x\r\nX-Secret: unheard\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65_536), b""))
    assert answer.split(b" ")[1] in (b"404", b"405", b"501"), answer[:100]
    assert b"unheard" not in answer


def test_the_image_has_the_package_alone() -> None:
    """What the last stage copies comes from the environment that was built, and is run by a user who is not root."""
    _, *stages = (ROOT / "Dockerfile").read_text().split("\nFROM ")
    assert re.findall(r"^COPY .*$", stages[-1], re.MULTILINE) == ["COPY --from=build /opt/vtrace /opt/vtrace"]
    copied = {word for line in re.findall(r"^COPY (.*)$", stages[0], re.MULTILINE) for word in line.split()[:-1]}
    assert copied == {"requirements.lock", "pyproject.toml", "README.md", "node"}
    assert "--require-hashes" in stages[0]
    assert re.search(r"^USER (?!root)\w+$", stages[-1], re.MULTILINE)
