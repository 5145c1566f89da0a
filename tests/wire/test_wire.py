"""The wire contract: what node.wire and proto/ must always be."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.api.annotations_pb2
import grpc_tools
import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

import node.wire
from node.wire.vtrace.v1 import service_pb2, service_pb2_grpc

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "proto"
GENERATOR = ROOT / "scripts" / "gen_proto.py"
CONTRACT = [tuple(line.split("\t")) for line in (Path(__file__).parent / "wire.tsv").read_text().splitlines()[1:]]
ADDED_FIELD_MIN = 100
ADDED_FIELDS = {
    ("field", "circ.v1.CircRecord", "salt", "100", "bytes", ""),
    ("field", "circ.v1.CircRecord", "files", "101", "string", "repeated"),
    ("field", "circ.v1.CircRecord", "reason", "102", "string", ""),
    ("field", "circ.v1.CircRecord", "recorded_at", "103", "google.protobuf.Timestamp", ""),
    ("field", "circ.v1.CircRecord", "private", "104", "bool", ""),
    ("field", "circ.v1.CircRecord", "erased", "105", "bool", ""),
    ("field", "vtrace.v1.CreateCircRequest", "private", "100", "bool", ""),
    ("field", "vtrace.v1.BatchCircRequest", "private", "100", "bool", ""),
    ("field", "vtrace.v1.UpdateUserRequest", "password", "100", "google.protobuf.StringValue", ""),
    ("field", "vtrace.v1.UpdateUserRequest", "current_password", "101", "google.protobuf.StringValue", ""),
    ("field", "vtrace.v1.GetCircRequest", "page_size", "101", "int32", ""),
    *(
        ("field", f"vtrace.v1.{rpc}{kind}", name, "100", "string", "")
        for rpc in ("GetCirc", "ListClass", "ListGoodsSerial", "ListGoods", "ListOrgMember", "ListScanAlerts")
        for kind, name in (("Request", "page_token"), ("Response", "next_page_token"))
    ),
}
ADDED_ROUTES = {
    "ContractName": "/api/v1/contract/name:call",
    "GetGoods": "/api/v1/goods:get",
    "GetClass": "/api/v1/goods/class:get",
    "GetGoodsSerial": "/api/v1/goods/serial:get",
}

CUSTODY = {
    "GetAccountRequest": {"new_account": "string"},
    "GetAccountResponse": {
        "actor": "int32",
        "account": "string",
        "sovereign": "bool",
        "chain_id": "int64",
        "contract": "string",
        "typed_data": "string",
    },
    "SetAccountRequest": {"account": "string", "possession": "bytes"},
    "SetAccountResponse": {"actor": "int32", "trans_id": "string"},
    "PrepareCircRequest": {
        "create_circ": "vtrace.v1.CreateCircRequest",
        "batch_circ": "vtrace.v1.BatchCircRequest",
        "batch_create_goods": "vtrace.v1.BatchCreateGoodsRequest",
    },
    "PrepareCircResponse": {"typed_data": "string", "salt": "bytes", "version": "int64"},
}
"""The messages of the added service, each with its fields, numbered from 1."""
CUSTODY_ROUTES = {
    "GetAccount": "/api/v1/custody/account:get",
    "SetAccount": "/api/v1/custody/account:set",
    "PrepareCirc": "/api/v1/custody/circ:prepare",
}

_INTEGERS = ("scans", "readers", "places", "usual_readers", "usual_places")
SCAN_ROWS = {
    ("message", "vtrace.v1.ListScanAlertsRequest", "", "", "", ""),
    ("field", "vtrace.v1.ListScanAlertsRequest", "offset", "1", "int32", ""),
    ("field", "vtrace.v1.ListScanAlertsRequest", "limit", "2", "int32", ""),
    ("message", "vtrace.v1.ListScanAlertsResponse", "", "", "", ""),
    ("field", "vtrace.v1.ListScanAlertsResponse", "alerts", "1", "vtrace.v1.ScanAlert", "repeated"),
    ("message", "vtrace.v1.ScanAlert", "", "", "", ""),
    ("field", "vtrace.v1.ScanAlert", "goods_id", "1", "int64", ""),
    ("field", "vtrace.v1.ScanAlert", "serial_id", "2", "int64", ""),
    ("field", "vtrace.v1.ScanAlert", "level", "3", "string", ""),
    *(("field", "vtrace.v1.ScanAlert", name, str(number), "int64", "") for number, name in enumerate(_INTEGERS, 4)),
    ("field", "vtrace.v1.ScanAlert", "since", "9", "google.protobuf.Timestamp", ""),
    (
        *("rpc", "vtrace.v1.VTraceScans", "ListScanAlerts", "unary"),
        *("vtrace.v1.ListScanAlertsRequest -> vtrace.v1.ListScanAlertsResponse", "POST /api/v1/scans/alert:list"),
    ),
}
"""The added service of scans."""

WATCH = "vtrace/v1/watch.proto"
WATCH_ROUTES = {
    "WatchCirc": "GET /api/v1/circ:watch",
    "WatchOrgCirc": "GET /api/v1/org/circ:watch",
    "CreateWebhook": "POST /api/v1/webhook:create",
    "ListWebhooks": "POST /api/v1/webhook:list",
    "DeleteWebhook": "POST /api/v1/webhook:delete",
}
WATCH_FIELDS = {
    "WatchCircRequest": "goods_id cursor",
    "WatchOrgCircRequest": "cursor",
    "CircChange": "cursor kind circ_id goods_ids circ_type trans_id tx_hash status reason changed_at",
    "WebhookBody": "type timestamp webhook_id cursor changes",
    "CreateWebhookRequest": "url cursor",
    "CreateWebhookResponse": "id secret cursor",
    "ListWebhooksRequest": "",
    "ListWebhooksResponse": "webhooks",
    "Webhook": "id url state cursor created_at failing_since last_error next_at",
    "DeleteWebhookRequest": "id",
    "DeleteWebhookResponse": "",
}
"""The messages of the service that watches, each with its fields, numbered from 1."""
LABEL_ROWS = {
    ("message", "vtrace.v1.ListLabelsRequest", "", "", "", ""),
    ("field", "vtrace.v1.ListLabelsRequest", "serial_id", "1", "int32", ""),
    ("field", "vtrace.v1.ListLabelsRequest", "first", "2", "int32", ""),
    ("field", "vtrace.v1.ListLabelsRequest", "limit", "3", "int32", ""),
    ("message", "vtrace.v1.Label", "", "", "", ""),
    ("field", "vtrace.v1.Label", "goods_id", "1", "int32", ""),
    ("field", "vtrace.v1.Label", "address", "2", "string", ""),
    ("message", "vtrace.v1.ListLabelsResponse", "", "", "", ""),
    ("field", "vtrace.v1.ListLabelsResponse", "class_name", "1", "string", ""),
    ("field", "vtrace.v1.ListLabelsResponse", "org_name", "2", "string", ""),
    ("field", "vtrace.v1.ListLabelsResponse", "product_time", "3", "google.protobuf.Timestamp", ""),
    ("field", "vtrace.v1.ListLabelsResponse", "gtin", "4", "string", ""),
    ("field", "vtrace.v1.ListLabelsResponse", "total", "5", "int32", ""),
    ("field", "vtrace.v1.ListLabelsResponse", "labels", "6", "vtrace.v1.Label", "repeated"),
    (
        "rpc",
        "vtrace.v1.VTraceLabels",
        "ListLabels",
        "unary",
        "vtrace.v1.ListLabelsRequest -> vtrace.v1.ListLabelsResponse",
        "POST /api/v1/goods/label:list",
    ),
}
"""The added service of labels."""

OTHER_PROTOCOLS = ("inference",)
"""Packages of protocols that the node speaks to others; their owners say what they are."""

Row = tuple[str, ...]


def modules() -> list[Any]:
    """Every generated module."""
    found = pkgutil.walk_packages(node.wire.__path__, f"{node.wire.__name__}.")
    return [importlib.import_module(info.name) for info in found if not info.ispkg]


def files() -> list[FileDescriptor]:
    """The descriptor of every file of the protocol."""
    found = [module.DESCRIPTOR for module in modules() if hasattr(module, "DESCRIPTOR")]
    return [file for file in found if file.package not in OTHER_PROTOCOLS]


def type_of(field: FieldDescriptor) -> str:
    if field.message_type:
        if field.message_type.GetOptions().map_entry:
            key, value = field.message_type.fields
            return f"map<{type_of(key)},{type_of(value)}>"
        return str(field.message_type.full_name)
    if field.enum_type:
        return str(field.enum_type.full_name)
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def message_rows(message: Descriptor) -> Iterator[Row]:
    yield "message", message.full_name, "", "", "", ""
    for field in message.fields:
        kind = type_of(field)
        label = "repeated" if field.is_repeated and not kind.startswith("map<") else ""
        yield "field", message.full_name, field.name, str(field.number), kind, label
    for nested in message.nested_types:
        if not nested.GetOptions().map_entry:
            yield from message_rows(nested)


def rpc_rows(file: FileDescriptor) -> Iterator[Row]:
    for service in file.services_by_name.values():
        for rpc in service.methods:
            rule = rpc.GetOptions().Extensions[annotations_pb2.http]
            kind = "stream" if rpc.client_streaming else "unary"
            types = f"{rpc.input_type.full_name} -> {rpc.output_type.full_name}"
            verb = rule.WhichOneof("pattern")
            route = f"{verb.upper()} {getattr(rule, verb)}" if verb else ""
            yield "rpc", service.full_name, rpc.name, kind, types, route


def rows() -> set[Row]:
    """The protocol of node.wire as rows of the contract."""
    found: set[Row] = set()
    for file in files():
        for message in file.message_types_by_name.values():
            found.update(message_rows(message))
        for enum in file.enum_types_by_name.values():
            found.update(("enum", enum.full_name, v.name, str(v.number), "", "") for v in enum.values)
        found.update(rpc_rows(file))
    return found


@pytest.mark.parametrize("row", CONTRACT, ids=lambda row: ".".join(filter(None, row[:3])))
def test_contract_row_holds(row: Row) -> None:
    assert row in rows()


def test_contract_is_whole() -> None:
    counts = Counter(row[0] for row in CONTRACT)
    assert counts == {"field": 158, "message": 7, "enum": 43, "rpc": 29}
    assert len(set(CONTRACT)) == len(CONTRACT)


def watch_rows() -> set[Row]:
    """What the service that watches has."""
    (file,) = (one for one in files() if one.name == WATCH)
    found = {row for message in file.message_types_by_name.values() for row in message_rows(message)}
    for enum in file.enum_types_by_name.values():
        found.update(("enum", enum.full_name, v.name, str(v.number), "", "") for v in enum.values)
    return found | set(rpc_rows(file))


def test_the_service_that_watches_is_as_it_was() -> None:
    (file,) = (one for one in files() if one.name == WATCH)
    fields = {name: [(one.number, one.name) for one in m.fields] for name, m in file.message_types_by_name.items()}
    assert fields == {name: list(enumerate(text.split(), 1)) for name, text in WATCH_FIELDS.items()}
    assert {row[2]: row[5] for row in rpc_rows(file)} == WATCH_ROUTES
    assert [one.name for one in file.services_by_name["VTraceWatch"].methods if one.server_streaming] == [
        "WatchCirc",
        "WatchOrgCirc",
    ]


def custody_rows() -> Iterator[Row]:
    """The added service as rows."""
    for name, fields in CUSTODY.items():
        yield "message", f"vtrace.v1.{name}", "", "", "", ""
        for number, (field, kind) in enumerate(fields.items(), 1):
            yield "field", f"vtrace.v1.{name}", field, str(number), kind, ""
    for name, route in CUSTODY_ROUTES.items():
        types = f"vtrace.v1.{name}Request -> vtrace.v1.{name}Response"
        yield "rpc", "vtrace.v1.VTraceCustody", name, "unary", types, f"POST {route}"


def test_nothing_is_added_to_the_contract_but_what_is_meant() -> None:
    listed = {row[1] for row in CONTRACT if row[0] in ("field", "message")}
    added = rows() - set(CONTRACT) - set(custody_rows()) - LABEL_ROWS - SCAN_ROWS - watch_rows()
    assert set(custody_rows()) | LABEL_ROWS | SCAN_ROWS <= rows()
    assert {row for row in added if row[0] == "field"} == ADDED_FIELDS
    assert all(int(row[3]) >= ADDED_FIELD_MIN for row in ADDED_FIELDS)
    assert {row[1] for row in added if row[0] == "message"} <= listed
    assert {row[2]: row[5] for row in added if row[0] == "rpc"} == {
        name: f"POST {route}" for name, route in ADDED_ROUTES.items()
    }
    assert not [row for row in added if row[0] == "enum"]


def test_every_rpc_has_a_route_of_its_own() -> None:
    rpcs = [rpc for file in files() for service in file.services_by_name.values() for rpc in service.methods]
    every = [rpc.GetOptions().Extensions[annotations_pb2.http] for rpc in rpcs]
    assert len(every) == 33 + len(CUSTODY_ROUTES) + 2 + len(WATCH_ROUTES)
    rules = [rule for rpc, rule in zip(rpcs, every, strict=True) if not rpc.server_streaming]
    assert all(rule.post and rule.body == "*" and not rule.additional_bindings for rule in rules)
    assert all(rule.get or rule.post for rule in every)
    assert len({rule.post or rule.get for rule in every}) == len(every)


def test_only_upload_streams() -> None:
    rpcs = service_pb2.DESCRIPTOR.services_by_name["VTraceInterface"].methods
    assert [rpc.name for rpc in rpcs if rpc.client_streaming] == ["Upload"]
    assert not [rpc.name for rpc in rpcs if rpc.server_streaming]


def test_files_keep_their_names_on_the_wire() -> None:
    names = {path.relative_to(PROTO).as_posix() for path in PROTO.rglob("*.proto")}
    names = {name for name in names if name.split("/")[0] not in OTHER_PROTOCOLS}
    assert {file.name for file in files()} == names


def test_service_module_gives_every_message_of_its_package() -> None:
    of_package = {row[1] for row in rows() if row[0] == "message" and row[1].startswith("vtrace.v1.")}
    top = {name.removeprefix("vtrace.v1.") for name in of_package if name.count(".") == 2}
    assert not [name for name in top if not hasattr(service_pb2, name)]
    assert service_pb2.RegisterRequest.__module__ == "node.wire.vtrace.v1.user_pb2"
    assert hasattr(service_pb2_grpc, "VTraceInterfaceStub")


def test_import_warns_of_nothing() -> None:
    names = "\n".join(f"import {module.__name__}" for module in modules())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- comments


def commented_files(folder: Path) -> list[FileDescriptorProto]:
    """proto/ as protoc reads it, with the comments."""
    out = folder / "all.pb"
    site = Path(google.api.annotations_pb2.__file__).parents[2]
    bundled = Path(grpc_tools.__file__).parent / "_proto"
    names = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    arguments = [f"-I{PROTO}", f"-I{site}", f"-I{bundled}", "--include_source_info"]
    assert protoc.main(["protoc", *arguments, f"--descriptor_set_out={out}", *names]) == 0
    return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def parts(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """The path of each message, field, enum, value, service and rpc of ``file``, with its full name."""

    def inside(
        path: tuple[int, ...],
        owner: str,
        element: DescriptorProto | EnumDescriptorProto | ServiceDescriptorProto,
    ) -> Iterator[tuple[tuple[int, ...], str]]:
        name = f"{owner}.{element.name}"
        yield path, name
        for field, members in element.ListFields():
            for index, member in enumerate(members if field.is_repeated else ()):
                here = (*path, field.number, index)
                if field.name in ("nested_type", "enum_type"):
                    if not member.options.map_entry:
                        yield from inside(here, name, member)
                elif field.name in ("field", "value", "method"):
                    yield here, f"{name}.{member.name}"

    for field, members in file.ListFields():
        if field.name in ("message_type", "enum_type", "service"):
            for index, member in enumerate(members):
                yield from inside((field.number, index), file.package, member)


def test_everything_has_a_comment(tmp_path: Path) -> None:
    silent, seen = [], 0
    for file in commented_files(tmp_path):
        comments = {tuple(spot.path): spot.leading_comments.strip() for spot in file.source_code_info.location}
        for path, name in parts(file):
            seen += 1
            if not comments.get(path):
                silent.append(f"{file.name}: {name}")
    assert not silent
    assert seen > len(CONTRACT)


# --- the generator


def run_generator(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(GENERATOR), *arguments], capture_output=True, text=True, check=False)


def test_generated_files_are_as_generated() -> None:
    done = run_generator("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_names_every_file_that_is_wrong(tmp_path: Path) -> None:
    wire = tmp_path / "wire"
    assert run_generator("--wire", str(wire)).returncode == 0
    assert run_generator("--wire", str(wire), "--check").returncode == 0
    changed, gone, stray = wire / "iam/v1/iam_pb2.py", wire / "circ/__init__.py", wire / "old_pb2.py"
    changed.write_text(changed.read_text() + "\n")
    gone.unlink()
    stray.touch()

    done = run_generator("--wire", str(wire), "--check")

    assert done.returncode == 1
    assert done.stdout.splitlines()[:-1] == [
        "missing: node/wire/circ/__init__.py",
        "differs: node/wire/iam/v1/iam_pb2.py",
        "stray: node/wire/old_pb2.py",
    ]
    assert stray.exists()
    assert run_generator("--wire", str(wire)).returncode == 0
    assert not stray.exists()
    assert run_generator("--wire", str(wire), "--check").returncode == 0
    generated = [path for path in wire.rglob("*") if path.is_file()]
    assert all("don't edit" in path.read_text().splitlines()[0] for path in generated)


def test_generator_refuses_what_protoc_refuses(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "broken.proto").write_text('syntax = "proto3"; message {')
    done = run_generator("--proto", str(tmp_path), "--wire", str(tmp_path / "wire"))
    assert done.returncode == 1
    assert "protoc refused" in done.stderr
    assert not (tmp_path / "wire").exists()
