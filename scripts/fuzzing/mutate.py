"""Bytes, changed by a seeded chance."""

from __future__ import annotations

from random import Random

ODD = (
    b"\x00",
    b"\xff",
    b"\xff" * 10,
    b"\x80" * 11,
    b"\x0b" * 200,
    b"\x0c",
    b"\xfa\xff\xff\xff\x0f",
    b"\x0a\xff\xff\xff\xff\x07",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"[" * 500,
    b'{"a":' * 500,
    b"1e400",
    b"-0",
    b"9" * 400,
    b"%00",
    b"%ff%fe",
    b"%E2%80%AE",
    b"/../",
    b"\r\n",
    b"\r\n\r\n",
    b"null",
    b"NaN",
    b"\xe2\x80\xae",
    b"\xef\xbf\xbf",
)
NESTED_LEVELS = 150


def changed(content: bytes, chance: Random) -> bytes:
    """``content`` with one to four changes."""
    made = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(made))
        match chance.randrange(8):
            case 0 if made:
                made[min(at, len(made) - 1)] ^= 1 << chance.randrange(8)
            case 1:
                made[at:at] = chance.choice(ODD)
            case 2:
                del made[at : at + chance.randint(1, 8)]
            case 3:
                made[at:at] = made[: chance.randint(0, 40)]
            case 4:
                del made[at:]
            case 5:
                made[at : at + 4] = chance.randbytes(4)
            case 6:
                made[at:at] = chance.randbytes(chance.randint(1, 16))
            case _ if chance.random() < 0.1:
                made = nested(made, chance)
            case _:
                made += made[at : at + 100]
    return bytes(made)


def nested(content: bytes | bytearray, chance: Random) -> bytearray:
    """A message in a message in a message: the same field, length-delimited, again and again."""
    tag = chance.randint(1, 6) << 3 | 2
    for _ in range(NESTED_LEVELS):
        content = bytes([tag]) + _varint(len(content)) + bytes(content)
    return bytearray(content)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
