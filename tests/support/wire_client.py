"""A client of the protocol that is built from the wire table alone: no line of it uses the project's code.

It reads tests/wire/wire.tsv, makes descriptors of it with an own pool, and calls rpcs by name.
"""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2, timestamp_pb2, wrappers_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

TABLE = Path(__file__).parent.parent / "wire" / "wire.tsv"
SERVICE = "vtrace.v1.VTraceInterface"
TIMEOUT_SECONDS = 30

_SCALARS = {"string": 9, "bytes": 12, "bool": 8, "int32": 5, "int64": 3}
_WELL_KNOWN = (wrappers_pb2, timestamp_pb2, struct_pb2)


def _rows() -> list[list[str]]:
    lines = TABLE.read_text().splitlines()
    return [(line.split("\t") + [""] * 6)[:6] for line in lines if line and not line.startswith("#")]


class _Schema:
    """Messages and rpcs of the table."""

    def __init__(self) -> None:
        rows = _rows()
        self._messages: dict[str, descriptor_pb2.DescriptorProto] = {}
        self._files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        self._enums = {row[1] for row in rows if row[0] == "enum"}
        self.rpcs = {row[2]: (row[3], *row[4].split(" -> ")) for row in rows if row[0] == "rpc"}
        self._add_enums(rows)
        for kind, container, *_ in rows:
            if kind in ("message", "field"):
                self._message(container)
        for kind, container, name, number, type_, label in rows:
            if kind == "field":
                self._field(self._message(container), name, int(number), type_, label)
        pool = descriptor_pool.DescriptorPool()
        for module in _WELL_KNOWN:
            pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        self._pool = pool
        for package in sorted(self._files, key=lambda name: name == "vtrace.v1"):
            self._files[package].dependency.extend(
                other for other in self._wanted(package) if other != f"{package}.proto"
            )
        self._load()

    def _load(self) -> None:
        waiting = dict(self._files)
        while waiting:
            ready = [
                name
                for name, file in waiting.items()
                if not any(f"{other}.proto" in file.dependency for other in waiting if other != name)
            ]
            assert ready, "the table's packages depend on each other in a circle"
            for name in ready:
                self._pool.AddSerializedFile(waiting.pop(name).SerializeToString())

    def _file(self, package: str) -> descriptor_pb2.FileDescriptorProto:
        if package not in self._files:
            self._files[package] = descriptor_pb2.FileDescriptorProto(
                name=f"{package}.proto", package=package, syntax="proto3"
            )
        return self._files[package]

    def _package(self, full: str) -> str:
        return ".".join(full.split(".")[:2])

    def _add_enums(self, rows: list[list[str]]) -> None:
        values = defaultdict(list)
        for kind, container, name, number, *_ in rows:
            if kind == "enum":
                values[container].append((name, int(number)))
        for full, named in values.items():
            package, _, name = full.rpartition(".")
            enum = descriptor_pb2.EnumDescriptorProto(name=name)
            for value, number in sorted(named, key=lambda pair: pair[1]):
                # Values of two enums may share a name, which one package can't hold: the number is what counts.
                enum.value.add(name=f"{name}_{value}", number=number)
            self._file(package).enum_type.append(enum)

    def _message(self, full: str) -> descriptor_pb2.DescriptorProto:
        if full in self._messages:
            return self._messages[full]
        parent, _, name = full.rpartition(".")
        if len(parent.split(".")) > 2:
            made = self._message(parent).nested_type.add(name=name)
        else:
            made = self._file(parent).message_type.add(name=name)
        self._messages[full] = made
        return made

    def _field(self, message: descriptor_pb2.DescriptorProto, name: str, number: int, type_: str, label: str) -> None:
        field = message.field.add(name=name, number=number, label=3 if label == "repeated" else 1)
        if type_.startswith("map<"):
            key, value = type_[4:-1].split(",")
            entry = message.nested_type.add(name=f"{name[:1].upper()}{name[1:]}Entry")
            entry.options.map_entry = True
            self._field(entry, "key", 1, key, "")
            self._field(entry, "value", 2, value, "")
            full = next(known for known, made in self._messages.items() if made is message)
            field.label, field.type, field.type_name = 3, 11, f".{full}.{entry.name}"
        elif type_ in _SCALARS:
            field.type = _SCALARS[type_]
        else:
            field.type, field.type_name = (14 if type_ in self._enums else 11), f".{type_}"

    def _wanted(self, package: str) -> set[str]:
        wanted: set[str] = set()

        def walk(message: descriptor_pb2.DescriptorProto) -> None:
            for field in message.field:
                type_ = field.type_name.removeprefix(".")
                if type_.startswith("google.protobuf."):
                    known = next(
                        m
                        for m in _WELL_KNOWN
                        if type_ in (f"google.protobuf.{n}" for n in m.DESCRIPTOR.message_types_by_name)
                    )
                    wanted.add(known.DESCRIPTOR.name)
                elif type_:
                    wanted.add(f"{self._package(type_)}.proto")
            for nested in message.nested_type:
                walk(nested)

        for message in self._files[package].message_type:
            walk(message)
        return wanted

    def message(self, full: str) -> Any:
        """The class of a message."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(full))


SCHEMA = _Schema()
ADDED_RPCS = {
    name: ("unary", f"vtrace.v1.{name}Request", f"vtrace.v1.{name}Response")
    for name in ("ContractName", "GetGoods", "GetClass", "GetGoodsSerial")
}


class Refusal(Exception):
    """A call was refused: gRPC status, reason and domain, message, details."""

    def __init__(self, error: grpc.RpcError) -> None:
        self.status = error.code().name
        self.message = error.details() or ""
        self.reason = self.domain = ""
        self.metadata: dict[str, str] = {}
        self.fields: list[str] = []
        for detail in getattr(rpc_status.from_call(error), "details", ()):
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                self.reason, self.domain, self.metadata = info.reason, info.domain, dict(info.metadata)
            elif detail.Unpack(bad):
                self.fields = [violation.field for violation in bad.field_violations]
        super().__init__(f"{self.status} {self.reason}: {self.message}")


class WireClient:
    """Calls a node. ``call("Token", phone=…)`` answers the response message or raises Refusal."""

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address = address
        self.token = token
        self.key: str | None = None
        options: list[tuple[str, int]] = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        options.append(("grpc.use_local_subchannel_pool", 1))  # else clients of one process share a connection
        self._channel = grpc.insecure_channel(address, options=options)

    def close(self) -> None:
        self._channel.close()

    def with_token(self, token: str | None) -> WireClient:
        """The same connection for another caller."""
        other = copy(self)
        other.token = token
        return other

    def with_key(self, key: str | None) -> WireClient:
        """The same connection and caller; calls carry this idempotency key."""
        other = copy(self)
        other.key = key
        return other

    def request(self, name: str, **fields: Any) -> Any:
        """The request message of an rpc, filled."""
        _, asked, _ = (SCHEMA.rpcs | ADDED_RPCS)[name]
        message = SCHEMA.message(asked)()
        for field, value in fields.items():
            _fill(message, field, value)
        return message

    def call(self, rpc: str, /, timeout: float = TIMEOUT_SECONDS, **fields: Any) -> Any:
        return self.send(rpc, self.request(rpc, **fields), timeout)

    def send(self, rpc: str, message: Any, timeout: float = TIMEOUT_SECONDS) -> Any:
        """Send one message; for an rpc that takes a stream, also a list of them."""
        kind, _, answered = (SCHEMA.rpcs | ADDED_RPCS)[rpc]
        metadata = [("authorization", f"Bearer {self.token}")] if self.token is not None else []
        if self.key is not None:
            metadata.append(("idempotency-key", self.key))
        make = self._channel.stream_unary if kind == "stream" else self._channel.unary_unary
        stub = make(
            f"/{SERVICE}/{rpc}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=SCHEMA.message(answered).FromString,
        )
        try:
            messages = message if isinstance(message, list) else [message]
            return stub(iter(messages) if kind == "stream" else message, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise Refusal(error) from error


def _fill(message: Any, field: str, value: Any) -> None:
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    if isinstance(value, dict):
        for name, inner in value.items():
            _fill(getattr(message, field), name, inner)
        getattr(message, field).SetInParent()
    elif isinstance(value, list | tuple):
        getattr(message, field).extend(value)
    elif descriptor.message_type is not None and descriptor.message_type.full_name == "google.protobuf.Timestamp":
        getattr(message, field).FromSeconds(value)
    elif descriptor.message_type is not None:
        getattr(message, field).value = value
        getattr(message, field).SetInParent()
    else:
        setattr(message, field, value)
