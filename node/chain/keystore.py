"""Web3 Secret Storage, version 3: a key in a JSON file under a password, as Geth, Clef, Besu and most wallets write it.

The key derivation is bounded, since the file says how much memory and time it takes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from eth_hash.auto import keccak

from node.chain import signer

FILE_BYTES_MAX: Final = 65_536
SCRYPT_BYTES_MAX: Final = 512 * 1024 * 1024
SCRYPT_WORK_MAX: Final = 2**24
"""Of n · r · p: eight times what wallets use."""
PBKDF2_ROUNDS_MAX: Final = 10_000_000
DERIVED_BYTES: Final = 32


def open_keystore(content: bytes, password: str) -> bytes:
    """The key in a keystore; ValueError, which says why, for another file or password."""
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"more than {FILE_BYTES_MAX} bytes: not a keystore")
    try:
        whole = json.loads(content)
        if whole["version"] != 3:
            raise ValueError(f"keystore of version {whole['version']!r}, want 3")
        crypto = whole["crypto"] if "crypto" in whole else whole["Crypto"]
        if crypto["cipher"] != "aes-128-ctr":
            raise ValueError(f"cipher {crypto['cipher']!r}, want aes-128-ctr")
        sealed, start = bytes.fromhex(crypto["ciphertext"]), bytes.fromhex(crypto["cipherparams"]["iv"])
        mac, kdf, parameters = bytes.fromhex(crypto["mac"]), crypto["kdf"], crypto["kdfparams"]
        derived = _derived(kdf, parameters, password.encode())
    except (KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise ValueError(f"not a keystore (Web3 Secret Storage, version 3): {fault!r}") from None
    if not hmac.compare_digest(keccak(derived[16:] + sealed), mac):
        raise ValueError("the password is another one, or the file is damaged")
    key = _opened(derived[:16], start, sealed)
    told = whole.get("address")
    if isinstance(told, str) and told.removeprefix("0x").lower() != signer.address_of(key)[2:].lower():
        raise ValueError(f"it says address {told[:42]!r}, but its key is of {signer.address_of(key)}")
    return key


def _derived(kdf: str, given: dict[str, Any], password: bytes) -> bytes:
    salt, length = bytes.fromhex(given["salt"]), given["dklen"]
    if length != DERIVED_BYTES:
        raise ValueError(f"dklen {length!r}, want {DERIVED_BYTES}")
    if kdf == "scrypt":
        n, r, p = (_number(given, name) for name in "nrp")
        memory = 128 * n * r
        if n < 2 or n & (n - 1) or memory > SCRYPT_BYTES_MAX or n * r * p > SCRYPT_WORK_MAX:
            raise ValueError(f"scrypt with n {n}, r {r}, p {p} is none, or takes more than {SCRYPT_BYTES_MAX} bytes")
        # OpenSSL counts a little more than the algorithm's own memory.
        room = memory + 128 * r * p + 1024 * 1024
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=room, dklen=DERIVED_BYTES)
    if kdf == "pbkdf2":
        rounds = _number(given, "c")
        if given["prf"] != "hmac-sha256" or rounds > PBKDF2_ROUNDS_MAX:
            raise ValueError(
                f"pbkdf2 with {given['prf']!r} and c {rounds}, want hmac-sha256, {PBKDF2_ROUNDS_MAX} at most"
            )
        return hashlib.pbkdf2_hmac("sha256", password, salt, rounds, DERIVED_BYTES)
    raise ValueError(f"kdf {kdf!r}, want scrypt or pbkdf2")


def _number(given: dict[str, Any], name: str) -> int:
    value = given[name]
    if type(value) is not int or not 1 <= value < 2**32:
        raise ValueError(f"{name} {value!r}, want a number from 1")
    return value


def _opened(key: bytes, start: bytes, sealed: bytes) -> bytes:
    if len(start) != 16 or len(sealed) != signer.KEY_BYTES:
        raise ValueError("not a keystore of a secp256k1 key")
    decryptor = Cipher(AES(key), CTR(start)).decryptor()
    return decryptor.update(sealed) + decryptor.finalize()
