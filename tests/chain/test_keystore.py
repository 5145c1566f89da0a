"""Keystores: those that eth-account writes are opened, others are refused with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account

from node.chain.keystore import open_keystore

KEY = bytes(range(1, 33))
PASSWORD = "correct horse 电池"


def _made(kdf: str = "scrypt", iterations: int = 16) -> dict[str, Any]:
    made: dict[str, Any] = Account.encrypt(KEY, PASSWORD, kdf=kdf, iterations=iterations)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_what_eth_account_wrote_is_opened(kdf: str) -> None:
    made = _made(kdf)
    assert open_keystore(json.dumps(made).encode(), PASSWORD) == KEY
    made["Crypto"] = made.pop("crypto")
    del made["address"]
    assert open_keystore(json.dumps(made).encode(), PASSWORD) == KEY
    with pytest.raises(ValueError, match="the password is another one"):
        open_keystore(json.dumps(made).encode(), "wrong")


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (["version"], 1, "keystore of version 1, want 3"),
        (["address"], "00" * 20, "but its key is of"),
        (["crypto"], 7, "not a keystore"),
        (["crypto", "cipher"], "aes-256-gcm", "cipher"),
        (["crypto", "mac"], "00" * 32, "the password is another one"),
        (["crypto", "mac"], "zz", "hexadecimal"),
        (["crypto", "ciphertext"], "00" * 31, "the password is another one"),
        (["crypto", "kdf"], "argon2", "kdf 'argon2'"),
        (["crypto", "kdfparams", "dklen"], 64, "dklen 64, want 32"),
        (["crypto", "kdfparams", "n"], 2**30, "takes more than"),
        (["crypto", "kdfparams", "n"], 3, "is none"),
        (["crypto", "kdfparams", "n"], "16", "n '16', want a number"),
        (["crypto", "kdfparams", "p"], 2**31, "takes more than"),
        (["crypto", "kdfparams", "r"], 0, "r 0, want a number"),
        (["crypto", "kdfparams", "salt"], None, "not a keystore"),
    ],
)
def test_what_is_wrong_with_a_keystore_is_said(path: list[str], value: Any, fault: str) -> None:
    made = _made()
    inner = made
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(ValueError, match=fault):
        open_keystore(json.dumps(made).encode(), PASSWORD)


def test_a_key_derivation_without_end_is_refused() -> None:
    made = _made("pbkdf2")
    made["crypto"]["kdfparams"]["c"] = 2**31
    with pytest.raises(ValueError, match="10000000 at most"):
        open_keystore(json.dumps(made).encode(), PASSWORD)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"7", b"[" * 10_000, b" " * 70_000])
def test_what_is_no_keystore_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        open_keystore(content, PASSWORD)
