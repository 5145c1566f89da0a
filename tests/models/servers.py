"""Servers of the Open Inference Protocol for tests: one of our own that can misbehave, and MLServer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from node.wire.inference import grpc_predict_v2_pb2 as oip
from node.wire.inference import grpc_predict_v2_pb2_grpc as oip_grpc
from tests.support.environment import environment

ROOT = Path(__file__).parents[2]
MLSERVER = "mlserver==1.7.1"
MLSERVER_HOME = ROOT / ".set-up" / "mlserver"
START_SECONDS_MAX = 90

Tensor = oip.ModelMetadataResponse.TensorMetadata


def metadata(**changes: Any) -> oip.ModelMetadataResponse:
    """What a server says of the tiny model."""
    said = {
        "inputs": [Tensor(name="x", datatype="FP32", shape=[-1, 3])],
        "outputs": [
            Tensor(name="scores", datatype="FP32", shape=[-1, 2]),
            Tensor(name="measure", datatype="FP32", shape=[-1, 1]),
        ],
    }
    return oip.ModelMetadataResponse(name="tiny", **{**said, **changes})


def answer(values: list[float], *, raw: bool = False, datatype: str = "FP32") -> oip.ModelInferResponse:
    """The tiny model's answer, its values in either place."""
    outputs = {"scores": values[:2], "measure": values[2:3]}
    made = oip.ModelInferResponse(model_name="tiny")
    for name, found in outputs.items():
        one = made.outputs.add(name=name, datatype=datatype, shape=[1, len(found)])
        if raw:
            made.raw_output_contents.append(np.array(found, "<f4" if datatype == "FP32" else "<f8").tobytes())
        else:
            getattr(one.contents, f"{datatype.lower()}_contents").extend(found)
    return made


class Server(oip_grpc.GRPCInferenceServiceServicer):
    """Serves the tiny model; ``on_infer`` and ``on_metadata`` say how. Counts what it was asked."""

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        self.asked: list[Any] = []
        self.on_metadata: Callable[[Any, Any], Any] = lambda *_: metadata()
        self.on_infer: Callable[[Any, Any], Any] = lambda request, _: answer(
            list(request.inputs[0].contents.fp32_contents)
        )
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        oip_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port(address)}"
        self._server.start()

    def ModelMetadata(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return self.on_metadata(request, context)

    def ModelInfer(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return self.on_infer(request, context)

    def stop(self) -> None:
        self._server.stop(0).wait()


_RUNTIME = """
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput

class Tiny(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        x = [float(v) for v in payload.inputs[0].data]
        return InferenceResponse(model_name=self.name, outputs=[
            ResponseOutput(name="scores", datatype="FP32", shape=[1, 2], data=x[:2]),
            ResponseOutput(name="measure", datatype="FP32", shape=[1, 1], data=x[2:3]),
        ])
"""


def mlserver_python() -> Path | None:
    """The Python of an environment with MLServer, made at first need; None where it can't be made."""
    return environment(MLSERVER_HOME, MLSERVER)


@contextmanager
def mlserver(python: Path, folder: Path) -> Iterator[str]:
    """MLServer with the tiny model; its gRPC address."""
    ports = _free_ports(3)
    (folder / "tiny_runtime.py").write_text(_RUNTIME)
    settings = {"name": "tiny", "implementation": "tiny_runtime.Tiny"}
    for side, tensors in (("inputs", metadata().inputs), ("outputs", metadata().outputs)):
        settings[side] = [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in tensors]
    (folder / "model-settings.json").write_text(json.dumps(settings))
    common = {"host": "127.0.0.1", "parallel_workers": 0, "metrics_endpoint": None, "use_structured_logging": False}
    names = ("http_port", "grpc_port", "metrics_port")
    (folder / "settings.json").write_text(json.dumps({**common, **dict(zip(names, ports, strict=True))}))
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [str(python.parent / "mlserver"), "start", str(folder)],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )
    try:
        _wait_listening(process, ports[1], folder / "log")
        yield f"127.0.0.1:{ports[1]}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_ports(total: int) -> list[int]:
    sockets = [socket.socket() for _ in range(total)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"MLServer did not start:\n{log.read_text(errors='replace')}") from None
            time.sleep(0.2)
