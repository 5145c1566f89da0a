"""Requests over HTTP: the protocol's routes, EPCIS, the pages, and heads and bodies that were changed on their way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote

from google.api import annotations_pb2
from google.protobuf import json_format

from node.api.services import message_class
from scripts.fuzzing.calls import OWN, drawn
from scripts.fuzzing.cast import GTIN, Cast
from scripts.fuzzing.mutate import changed
from scripts.fuzzing.tally import Tally, shown
from scripts.fuzzing.values import BYTES, METHODS, ROLES, TEXTS
from tests.support import epcis

CONNECTIONS = 16
ANSWER_SECONDS_MAX = 120
PATIENCE_SECONDS = 1.0
CORPUS = 300
LAST = b"\r\nconnection: close"
"""In requests whose head was changed, and in no others."""
HEAD_BYTES_MAX = 64 * 1024
READ_ERRORS = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)


def requests(cast: Cast, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """So many requests as bytes, each with the name of its kind."""
    chance = Random(seed)
    corpus = [(one.rpc, one.content[0]) for one in drawn(cast, seed, CORPUS) if one.content]
    corpus = [(rpc, content) for rpc, content in corpus if rpc not in (*OWN, "Register", "Token", "Upload")]
    kinds = (_of_rpc, _of_rpc, _of_rpc, _of_capture, _of_page, _of_page, _of_chain, _of_upload)
    for _ in range(count):
        kind = chance.choice(kinds)
        yield kind.__name__.removeprefix("_of_"), kind(cast, corpus, chance)


async def send_all(address: str, asked: Iterator[tuple[str, bytes]], tally: Tally, place: str) -> None:
    """Send them over some connections at once, each again and again until the node closes it."""
    numbered = enumerate(asked)

    async def line() -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for number, (kind, request) in numbered:
            status, keeps = "UNANSWERED", False
            is_whole = LAST not in request
            try:
                async with asyncio.timeout(ANSWER_SECONDS_MAX if is_whole else PATIENCE_SECONDS):
                    if connection is None:
                        host, _, port = address.rpartition(":")
                        connection = await asyncio.open_connection(host, int(port), limit=HEAD_BYTES_MAX)
                    status, keeps = await _answer(*connection, request)
            except READ_ERRORS:
                status = "CLOSED"  # as HTTP allows after a request that is none
            except TimeoutError:
                status = status if is_whole else "CUT"  # it may say that more is to come
            except OSError:
                status = "UNAVAILABLE"
            tally.add(f"http {kind}", status, f"{place}, request {number}: {shown(request)}")
            if connection is not None and not (keeps and is_whole):
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    await asyncio.gather(*(line() for _ in range(CONNECTIONS)))


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[str, bool]:
    writer.write(request)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = head.split(b" ", 2)[1].decode()
    if request.startswith(b"HEAD") or status in ("204", "304") or status.startswith("1"):
        return status, False
    if b"transfer-encoding: chunked" in head:
        await reader.read(HEAD_BYTES_MAX)
        return status, False
    length = head.partition(b"content-length:")[2].split(b"\r\n")[0].strip()
    if not length:
        return status, False
    await reader.readexactly(int(length))
    return status, b"connection: close" not in head


def _whole(method: str, target: str, headers: dict[str, str], body: bytes, chance: Random) -> bytes:
    """A request; one of ten is changed somewhere in its head, or says a wrong length."""
    lines = [f"{method} {target} HTTP/1.1", "host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method in ("POST", "PUT"):
        lines.append(f"content-length: {len(body)}")
    head = "\r\n".join(lines).encode("latin-1", "replace")
    if chance.random() < 0.1:
        head = changed(head, chance)
        # What follows the body would be taken for another request, which nobody waits for.
        head += LAST
    return head + b"\r\n\r\n" + body


def _headers(cast: Cast, chance: Random) -> dict[str, str]:
    token = cast.tokens[chance.choice((*ROLES, "boss", "producer", "admin"))]
    if token and chance.random() < 0.03:
        token = changed(token.encode(), chance).decode("latin-1").replace("\r", "").replace("\n", "")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    if chance.random() < 0.05:
        headers["idempotency-key"] = chance.choice(("a", "b" * 200, "\xff"))
    if chance.random() < 0.05:
        headers["accept-language"] = chance.choice(("zh", "en;q=NaN", "a" * 9_000, ";;;,,,"))
    if chance.random() < 0.05:
        headers["vtrace-signature-bin"] = chance.choice(("AAAA", "!", "="))
    return headers


def _of_rpc(cast: Cast, corpus: list[tuple[str, bytes]], chance: Random) -> bytes:
    rpc, content = chance.choice(corpus)
    method = METHODS[rpc]
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    if rule.get:
        fields = "&".join(f"{quote(one.name)}={quote(chance.choice(TEXTS)[:50])}" for one in method.input_type.fields)
        return _whole("GET", f"{rule.get}?{fields}", _headers(cast, chance), b"", chance)
    target = rule.post
    message = message_class(method.input_type).FromString(content)
    try:
        body = json_format.MessageToJson(message, ensure_ascii=chance.random() < 0.5).encode()
    except (ValueError, OverflowError, json_format.Error):
        body = b'{"productTime":"9999999-01-01T00:00:00Z"}'  # a time that no text has
    roll = chance.random()
    if roll < 0.4:
        body = changed(body, chance)
    elif roll < 0.5:
        body = chance.choice(BYTES)
    elif roll < 0.55:
        target += "?" + "&".join(
            f"{quote(chance.choice(TEXTS)[:50])}={quote(chance.choice(TEXTS)[:50])}" for _ in "abc"
        )
    kind = "application/json" if chance.random() < 0.95 else chance.choice(("text/plain", "a/b;charset=\xff", ""))
    verb = "POST" if chance.random() < 0.97 else chance.choice(("PUT", "GET", "DELETE", "PATCH", "TRACE", "A"))
    return _whole(verb, target, {**_headers(cast, chance), "content-type": kind}, body, chance)


def _of_capture(cast: Cast, _: Any, chance: Random) -> bytes:
    headers = {**_headers(cast, chance), "content-type": chance.choice(("application/json", "application/ld+json"))}
    if chance.random() < 0.2:
        target = chance.choice(("/epcis/capture", "/epcis/capture/" + "0" * 32, "/epcis/capture/%00"))
        target += chance.choice(("", "?perPage=1", "?perPage=-1", "?nextPageToken=9999999999999999999", "?a=%ff"))
        return _whole("GET", target, headers, b"", chance)
    base = f"urn:vtrace:{cast.contract}"
    epcs = [
        chance.choice((f"https://id.gs1.org/01/{GTIN}/21/{one}", f"{base}:{one}", chance.choice(TEXTS)))
        for one in chance.sample(cast.goods_ids, chance.randint(1, 3))
    ]
    step = chance.choice(("packing", "shipping", "receiving", "commissioning", None, "nowhere", *TEXTS[:9]))
    action = chance.choice(("ADD", "OBSERVE", "DELETE", "X"))
    more: dict[str, Any] = {}
    if chance.random() < 0.4:
        more = chance.choice(
            (
                epcis.possessing(chance.choice(cast.usernames)),
                {"sensorElementList": [{"sensorReport": [{"type": "Temperature", "value": 1e308, "time": "x"}]}]},
                {"eventTime": chance.choice(("1970-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "0000", 1, None, []))},
                {"eventTimeZoneOffset": chance.choice(("+99:99", "Z", 8))},
                {"readPoint": {"id": chance.choice(TEXTS)}, "bizLocation": []},
                {"quantityList": [{"epcClass": "a", "quantity": 10**400}]},
                {"ex:a": json.loads('{"a":' * 60 + "1" + "}" * 60)},
                {"type": chance.choice(("AggregationEvent", "TransformationEvent", "AssociationEvent", "X", None))},
                {"certificationInfo": chance.choice(TEXTS), "persistentDisposition": {"set": ["a"]}},
                {"errorDeclaration": {"declarationTime": "2026", "correctiveEventIDs": [1]}},
                {"eventID": chance.choice(("ni:///sha-256;" + "0" * 64 + "?ver=CBV2.0", "a", 1))},
            )
        )
    event = epcis.event(*epcs, step=step, action=action, **more)
    body = json.dumps(epcis.document(*[event] * chance.choice((1, 1, 1, 2, 40)))).encode()
    roll = chance.random()
    if roll < 0.4:
        body = changed(body, chance)
    elif roll < 0.45:
        body = chance.choice(BYTES)
    return _whole("POST", "/epcis/capture", headers, body, chance)


def _of_page(cast: Cast, _: Any, chance: Random) -> bytes:
    goods = chance.choice((*cast.goods_ids, 0, -1, 2**31, 10**30, "a", "1e3", "%00", "٣", "1%2f2"))
    serial = chance.choice((*cast.serial_ids, "A%20", "%C3%28"))
    gtin = chance.choice((GTIN, "0", GTIN[:-1] + "3", "%39" * 14))
    target = chance.choice(
        (
            f"/t/{goods}",
            f"/t/{goods}",
            f"/t/{goods}?lang={quote(chance.choice(TEXTS)[:60])}",
            f"/t/{goods}/qr.svg",
            f"/t/{goods}/qr.png",
            f"/t/{goods}/qr.{quote(chance.choice(TEXTS)[:30])}",
            f"/01/{gtin}/10/{serial}/21/{goods}",
            f"/01/{gtin}/21/{goods}?linkType={quote(chance.choice(('all', 'gs1:pip', 'x', chr(0x202E))))}",
            f"/01/{gtin}",
            f"/ipfs/{cast.cid}",
            f"/ipfs/{cast.cid}/a",
            f"/ipfs/{quote(chance.choice(TEXTS)[:80])}",
            f"/epcis/events?MATCH_epc=https://id.gs1.org/01/{gtin}/21/{goods}",
            "/epcis/events?perPage=5",
            f"/epcis/events?{quote(chance.choice(TEXTS)[:30])}={quote(chance.choice(TEXTS)[:30])}",
            "/epcis/events?GE_eventTime=" + quote(chance.choice(("2026-01-01T00:00:00Z", "x", "9999-12-31T24:00:00Z"))),
            "/epcis/events?nextPageToken=" + chance.choice(("0", "-1", "9" * 30, "e30", "%00")),
            "/static/0/check.js",
            f"/static/{quote(chance.choice(TEXTS)[:30])}/{quote(chance.choice(TEXTS)[:30])}",
            "/.well-known/gs1resolver",
            "/openapi.json",
            "/docs",
            "/",
            "//" + quote(chance.choice(TEXTS)[:30]),
            "*",
        )
    )
    if chance.random() < 0.2:
        target = changed(target.encode("utf-8"), chance).decode("latin-1").replace(" ", "").replace("\n", "")
    verb = chance.choice(("GET",) * 12 + ("HEAD", "OPTIONS", "POST"))
    headers = _headers(cast, chance)
    if chance.random() < 0.1:
        headers["range"] = chance.choice(
            ("bytes=0-0", "bytes=-1", "bytes=5-1", "bytes=0-,0-,0-", "x=1", "bytes=" + "9" * 30)
        )
    if chance.random() < 0.1:
        headers["accept"] = chance.choice(("application/linkset+json", "*/*;q=x", "text/html", "\xff"))
    return _whole(verb, target, headers, b"", chance)


def _of_chain(cast: Cast, _: Any, chance: Random) -> bytes:
    method = chance.choice(
        ("eth_chainId", "eth_call", "eth_getProof", "eth_getLogs", "eth_getBlockByNumber", "eth_getTransactionReceipt",
         "eth_getCode", "eth_blockNumber", "eth_sendRawTransaction", "evm_mine", *TEXTS[:4])
    )  # fmt: skip
    odd: tuple[Any, ...] = ("latest", "0x0", "0x" + "f" * 70, -1, None, True, {}, [], 10**30, "0x", cast.contract, 1.5)
    call = {"to": chance.choice((cast.contract, *TEXTS[:5], 1)), "data": chance.choice(("0x06fdde03", "0x", "0xzz", 1))}
    wanted = {"fromBlock": chance.choice(odd), "toBlock": chance.choice(odd), "address": chance.choice(odd)}
    params: Any = [chance.choice((call, wanted, *odd)), *(chance.choice(odd) for _ in range(chance.randint(0, 2)))]
    if chance.random() < 0.1:
        params = chance.choice(odd)
    asked: Any = {"jsonrpc": "2.0", "id": chance.choice(odd), "method": method, "params": params}
    if chance.random() < 0.2:
        asked = [asked] * chance.choice((0, 1, 3, 101))
    body = json.dumps(asked).encode()
    roll = chance.random()
    if roll < 0.3:
        body = changed(body, chance)
    elif roll < 0.35:
        body = chance.choice(
            (b"[" * 20_000, b'{"id":' * 20_000, b'{"id":' + b"[" * 9_000 + b"]" * 9_000 + b"}", b"\xff")
        )
    return _whole("POST", "/rpc", {"content-type": "application/json"}, body, chance)


def _of_upload(cast: Cast, _: Any, chance: Random) -> bytes:
    headers = _headers(cast, chance)
    if chance.random() < 0.5:
        headers["content-type"] = "multipart/form-data; boundary=b"
        field = f'--b\r\nContent-Disposition: form-data; name="{chance.choice(("own", "encoding", ""))}"\r\n\r\nx\r\n'
        file = '--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nabc\r\n--b--\r\n'
        body = (field * chance.choice((0, 1, 3, 40)) + file).encode()
    else:
        headers["content-type"] = chance.choice(("text/plain", "application/json", "multipart/form-data", "a/b;" * 400))
        body = chance.choice((b"[]", b'[{"content":"YQ=="}]', b'[{"mds":[{"key":"a"}]}]', *BYTES))
    if chance.random() < 0.5:
        body = changed(body, chance)
    target = "/api/v1/file:upload" + chance.choice(("", "?filename=a.png", "?encoding=base64", "?a=b&a=c", "?=%ff"))
    return _whole("POST", target, headers, body, chance)
