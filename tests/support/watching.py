"""Clients that watch, over gRPC and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
import httpx

from node.wire.vtrace.v1 import watch_pb2 as wire
from tests.support.wire_client import Refusal, WireClient

WATCH_RPCS = ("WatchCirc", "WatchOrgCirc", "CreateWebhook", "ListWebhooks", "DeleteWebhook")
STREAMS = WATCH_RPCS[:2]
TIMEOUT_SECONDS = 60


class Stream:
    """A gRPC stream of changes. A refusal is raised as Refusal; the end as StopIteration."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.cursor = ""
        self.refusal: Refusal | None = None

    def next(self) -> Any:
        try:
            message = next(self.call)
        except grpc.RpcError as error:
            raise Refusal(error) from error
        self.cursor = message.cursor
        return message

    def change(self) -> Any:
        """The next message that is a change."""
        while not (message := self.next()).circ_id:
            pass
        return message

    def to_end(self) -> list[Any]:
        """All up to the end, which is left in ``refusal`` if it is one."""
        found = []
        try:
            while True:
                found.append(self.next())
        except StopIteration:
            return found
        except Refusal as refusal:
            self.refusal = refusal
            return found

    def cancel(self) -> None:
        self.call.cancel()


class WatchClient:
    """The service VTraceWatch over a connection of its own."""

    def __init__(self, client: WireClient) -> None:
        self._token = client.token
        # A small window, so that what nobody reads stays with the node.
        options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 64 * 1024)]
        options.append(("grpc.use_local_subchannel_pool", 1))
        self._channel = grpc.insecure_channel(client.address, options=options)

    def close(self) -> None:
        self._channel.close()

    def stream(self, rpc: str, **fields: Any) -> Stream:
        """A stream whose first message was read."""
        call = self._channel.unary_stream(
            f"/vtrace.v1.VTraceWatch/{rpc}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=wire.CircChange.FromString,
        )
        stream = Stream(call(getattr(wire, f"{rpc}Request")(**fields), timeout=TIMEOUT_SECONDS, metadata=self._own()))
        assert not stream.next().circ_id
        return stream

    def goods(self, *goods_ids: int, cursor: str = "") -> Stream:
        return self.stream("WatchCirc", goods_id=goods_ids, cursor=cursor)

    def call(self, rpc: str, *metadata: tuple[str, str], **fields: Any) -> Any:
        answer = getattr(wire, f"{rpc}Response")
        call = self._channel.unary_unary(
            f"/vtrace.v1.VTraceWatch/{rpc}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            request = getattr(wire, f"{rpc}Request")(**fields)
            return call(request, timeout=TIMEOUT_SECONDS, metadata=[*self._own(), *metadata])
        except grpc.RpcError as error:
            raise Refusal(error) from error

    def first(self, rpc: str) -> None:
        """The empty request, whose answer is only looked at for being none."""
        if rpc in STREAMS:
            self.stream(rpc).cancel()
        else:
            self.call(rpc)

    def _own(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self._token}")] if self._token else []


@dataclass
class Event:
    """One server-sent event, read as the standard says; ``data`` is None where it only moves the last id on."""

    name: str
    last_id: str
    data: Any


class Events:
    """The events of a response, one after the other."""

    def __init__(self, response: httpx.Response) -> None:
        self.last_id = ""
        self._lines = response.iter_lines()

    def next(self) -> Event:
        """The next block; StopIteration at the end."""
        name, data = "message", []
        while line := next(self._lines):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                self.last_id = value
            elif field == "data":
                data.append(value)
            elif field == "event":
                name = value
        return Event(name, self.last_id, json.loads("\n".join(data)) if data else None)

    def change(self) -> Event:
        """The next event that a reader is told of."""
        while (event := self.next()).data is None:
            pass
        return event

    def to_end(self) -> list[Event]:
        """All up to the end, whether the connection broke or not."""
        found = []
        with suppress(StopIteration, httpx.RemoteProtocolError, httpx.ReadError):
            while True:
                found.append(self.next())
        return found


@contextmanager
def events(http: str, path: str, last_id: str = "", token: str | None = None) -> Iterator[Events]:
    """A stream over HTTP, of which the first cursor was read."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with httpx.stream("GET", f"http://{http}{path}", headers=headers, timeout=TIMEOUT_SECONDS) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"] == "text/event-stream"
        found = Events(response)
        while not found.last_id:
            found.next()
        yield found
