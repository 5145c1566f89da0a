#!/usr/bin/env python3
"""Generate node/wire, the Python side of the wire contract, from proto/.

The generated modules live under node.wire, while everything on the wire keeps its own name: the file
vtrace/v1/service.proto becomes the module node.wire.vtrace.v1.service_pb2, and its descriptor is still
called vtrace/v1/service.proto. Beside them comments.py keeps the comments. Needs the development dependencies
(grpcio-tools) as they are locked: another version of them writes other files.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import google.api.annotations_pb2
import grpc_tools
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "node.wire"
COMMAND = "scripts/gen_proto.py"
COMMENTS = "comments.py"
INCLUDES = (
    Path(google.api.annotations_pb2.__file__).parents[2],  # google/api
    Path(grpc_tools.__file__).parent / "_proto",  # google/protobuf
)
PARTS: dict[type, tuple[str, ...]] = {
    FileDescriptorProto: ("message_type", "enum_type", "service"),
    DescriptorProto: ("field", "nested_type", "enum_type"),
    EnumDescriptorProto: ("value",),
    ServiceDescriptorProto: ("method",),
}
"""What of a descriptor has comments of its own."""


def run_protoc(proto: Path, names: list[str], *outputs: str) -> None:
    """Run protoc over the files ``names`` of the folder ``proto``; it prints what it finds wrong itself."""
    includes = [f"-I{folder}" for folder in (proto, *INCLUDES)]
    if protoc.main(["protoc", *includes, *outputs, *names]):
        sys.exit("protoc refused the files above.")


def generate(proto: Path) -> dict[str, bytes]:
    """What node/wire is to hold: the bytes of each file by its path below node/wire."""
    names = sorted(path.relative_to(proto).as_posix() for path in proto.rglob("*.proto"))
    if not names:
        sys.exit("There are no .proto files to generate from.")
    if homeless := [name for name in names if "/" not in name]:
        sys.exit(f"Give each file a folder that is named after its package: {', '.join(homeless)}")

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        described = out / "all.pb"
        run_protoc(proto, names, f"--descriptor_set_out={described}", "--include_source_info")
        files = FileDescriptorSet.FromString(described.read_bytes()).file
        described.unlink()
        run_protoc(proto, names, f"--python_out={out}", f"--pyi_out={out}")
        if served := [file.name for file in files if file.service]:
            run_protoc(proto, served, f"--grpc_python_out={out}")
        texts = {p.relative_to(out).as_posix(): p.read_text("utf-8") for p in out.rglob("*.py*")}

    module_of = {f".{f.package}.{m.name}": module_name(f.name) for f in files for m in f.message_type}
    for file in files:
        if file.service:
            texts[stem(file.name) + "_pb2_grpc.pyi"] = grpc_stub(file, module_of)

    moved = moves({name.split("/")[0] for name in names})
    wanted = {path: header(path.rpartition("_pb2")[0] + ".proto") + moved(text) for path, text in texts.items()}
    packages = {parent for path in texts for parent in Path(path).parents}
    wanted |= {(package / "__init__.py").as_posix(): header() for package in packages}
    lines = [f"    {name!r}: {text!r}," for name, text in sorted(comments(files).items())]
    wanted[COMMENTS] = "\n".join([header() + "COMMENTS: dict[str, str] = {", *lines, "}"]) + "\n"
    return {path: text.encode() for path, text in sorted(wanted.items())}


def comments(files: Iterable[FileDescriptorProto]) -> dict[str, str]:
    """The comment of every message, field, enum, value, service and rpc, by its full name.

    The generated modules have no comments, and the node shows them to partners. A value is named by its enum too.
    """
    found: dict[str, str] = {}

    def walk(thing: Any, name: str, path: tuple[int, ...], said: dict[tuple[int, ...], str]) -> None:
        lines = [line.removeprefix(" ").rstrip() for line in said.get(path, "").splitlines()]
        if text := "\n".join(lines).strip():
            found[name] = text
        for part in PARTS.get(type(thing), ()):
            number = thing.DESCRIPTOR.fields_by_name[part].number
            for index, one in enumerate(getattr(thing, part)):
                walk(one, f"{name}.{one.name}", (*path, number, index), said)

    for file in files:
        said = {tuple(one.path): one.leading_comments for one in file.source_code_info.location if one.path}
        walk(file, file.package, (), said)
    return found


def stem(name: str) -> str:
    return name.removesuffix(".proto")


def module_name(name: str) -> str:
    return stem(name).replace("/", ".") + "_pb2"


def header(source: str = "") -> str:
    origin = f"proto/{source}" if source else "proto/"
    return f"# Generated by {COMMAND} from {origin}; don't edit.\n"


def moves(roots: set[str]) -> Callable[[str], str]:
    """A function that moves a generated text under PACKAGE: the modules it imports, and its own name."""
    root = "|".join(map(re.escape, sorted(roots)))
    imports = re.compile(rf"^(from )({root})(?=[. ])", re.MULTILINE)
    own_name = re.compile(rf"(BuildTopDescriptorsAndMessages\(DESCRIPTOR, ')({root})(?=\.)")

    def move(text: str) -> str:
        for pattern in (imports, own_name):
            text = pattern.sub(rf"\g<1>{PACKAGE}.\g<2>", text)
        return text

    return move


def grpc_stub(file: FileDescriptorProto, module_of: dict[str, str]) -> str:
    """Types for a ``_pb2_grpc`` module, for which protoc has none.

    They serve blocking and asyncio code alike, so contexts and results are Any.
    """
    used = sorted({module_of[m.input_type] for s in file.service for m in s.method if not m.client_streaming})
    lines = ["from typing import Any", ""]
    lines += [f"from {module.rpartition('.')[0]} import {module.rpartition('.')[2]}" for module in used]
    for service in file.service:
        lines += ["", *service_stub(service, module_of)]
    return "\n".join(lines) + "\n"


def service_stub(service: ServiceDescriptorProto, module_of: dict[str, str]) -> list[str]:
    def request(full_name: str) -> str:
        return f"{module_of[full_name].rpartition('.')[2]}.{full_name.rpartition('.')[2]}"

    lines = [f"class {service.name}Stub:", "    def __init__(self, channel: Any) -> None: ..."]
    lines += [f"    {method.name}: Any" for method in service.method]
    lines += ["", f"class {service.name}Servicer:"]
    for method in service.method:
        one = f"request: {request(method.input_type)}"
        taken = "request_iterator: Any" if method.client_streaming else one
        lines.append(f"    def {method.name}(self, {taken}, context: Any) -> Any: ...")
    adder = f"add_{service.name}Servicer_to_server"
    return [*lines, "", f"def {adder}(servicer: {service.name}Servicer, server: Any) -> None: ..."]


def present(wire: Path) -> dict[str, bytes]:
    """What node/wire holds now, without what Python itself puts there."""
    return {
        path.relative_to(wire).as_posix(): path.read_bytes()
        for path in sorted(wire.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def differences(wanted: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """One line for each file that is not as it should be."""
    words = dict.fromkeys(wanted.keys() - found.keys(), "missing")
    words |= dict.fromkeys(found.keys() - wanted.keys(), "stray")
    words |= {path: "differs" for path in wanted.keys() & found.keys() if wanted[path] != found[path]}
    return [f"{word}: node/wire/{path}" for path, word in sorted(words.items())]


def write(wire: Path, wanted: dict[str, bytes], found: dict[str, bytes]) -> None:
    """Make ``wire`` hold exactly ``wanted``; files that are right already are left alone."""
    for path in found.keys() - wanted.keys():
        (wire / path).unlink()
    for path, content in wanted.items():
        if found.get(path) != content:
            (wire / path).parent.mkdir(parents=True, exist_ok=True)
            (wire / path).write_bytes(content)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 unless node/wire is as generated")
    parser.add_argument("--proto", type=Path, default=ROOT / "proto", help="folder of the .proto files")
    parser.add_argument("--wire", type=Path, default=ROOT / "node/wire", help="folder of the generated files")
    options = parser.parse_args(argv)

    wanted, found = generate(options.proto.resolve()), present(options.wire)
    wrong = differences(wanted, found)
    if not options.check:
        write(options.wire, wanted, found)
        print(f"node/wire: {len(wanted)} files generated, {len(wrong)} changes.")
        return 0
    if wrong:
        print(*wrong, sep="\n")
        print(f"node/wire is not what proto/ generates; run {COMMAND} and commit what it writes.")
        return 1
    print(f"All {len(wanted)} files of node/wire are as generated.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
