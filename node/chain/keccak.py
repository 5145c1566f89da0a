"""Keccak-256. A circ hashes a dozen of short inputs, for which ``eth_hash`` and what it chooses take seven times as
long."""

from __future__ import annotations

from sha3 import keccak_256


def keccak(data: bytes) -> bytes:
    """The 32 bytes of the hash that Ethereum calls Keccak-256."""
    digest: bytes = keccak_256(data).digest()
    return digest
