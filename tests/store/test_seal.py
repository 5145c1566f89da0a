"""Secrets at rest: the seal, the master key's file, and the node's own keys."""

from __future__ import annotations

import secrets
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import SetupError
from node.store import keys
from node.store.db import Store
from node.store.master_key import from_file as master_key
from node.store.seal import Seal

SEAL = Seal(bytes(32))


@given(st.text(st.characters(codec="utf-8")), st.binary(max_size=200))
def test_what_is_closed_opens_again(name: str, secret: bytes) -> None:
    sealed = SEAL.close(name, secret)
    assert SEAL.open(name, sealed) == secret
    assert sealed != SEAL.close(name, secret)


@given(st.binary(max_size=100), st.data())
def test_nothing_else_opens(secret: bytes, data: st.DataObject) -> None:
    sealed = SEAL.close("row 1", secret)
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[place] ^= data.draw(st.integers(1, 255))
    short = sealed[: data.draw(st.integers(0, len(sealed) - 1))]
    for seal, name, value in (
        (SEAL, "row 1", bytes(changed)),
        (SEAL, "row 1", short),
        (SEAL, "row 2", sealed),
        (Seal(b"\1" * 32), "row 1", sealed),
    ):
        with pytest.raises(SetupError, match=r"does not open row .*--master-key"):
            seal.open(name, value)


def test_the_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    key = master_key(path, make=True)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert master_key(path, make=True) == master_key(path, make=False) == key
    assert [each.name for each in tmp_path.iterdir()] == ["master.key"]


def test_what_an_interrupted_start_left_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "master.key.part").write_text("half")
    assert len(master_key(tmp_path / "master.key", make=True)) == 32


def test_a_given_file_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="No such file"):
        master_key(tmp_path / "given.key", make=False)
    assert not list(tmp_path.iterdir())


def test_a_file_that_can_not_be_made(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"master key .*No such file"):
        master_key(tmp_path / "missing" / "master.key", make=True)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    master_key(path, make=True)
    path.chmod(mode)
    with pytest.raises(SetupError, match=f"mode 0{mode:o} lets others read it; run chmod 600"):
        master_key(path, make=True)


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"00" * 33, b"zz" * 32, b"\xff" * 32, b"0" * 63])
def test_a_malformed_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "master.key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(SetupError, match="want 64 hex digits, or base64 of 32 bytes"):
        master_key(path, make=True)


def test_an_own_key_stays_the_same(store: Store) -> None:
    with store.write():
        key = keys.own_key(SEAL, "signer", lambda: secrets.token_bytes(32))
        assert keys.own_key(SEAL, "signer", lambda: b"another") == key
        assert keys.own_key(SEAL, "token", lambda: b"another") == b"another"
        keys.keep_key(SEAL, "signer", b"given")
        assert keys.own_key(SEAL, "signer", lambda: b"another") == b"given"
