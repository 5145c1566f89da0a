"""Models that another server runs, over the Open Inference Protocol v2: MLServer, Triton, KServe.

What the server says of the model's shapes is held against the card before the first run, and every answer's again.
Each call has a deadline; a server that fails some calls in a row is left alone for a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from node.models.breaker import Breaker
from node.models.card import Card
from node.models.outputs import held
from node.models.runner import RUN_SECONDS_MAX, SCORES, ModelBusy, ModelDown, ModelFault, ModelTimeout, Numbers
from node.wire.inference import grpc_predict_v2_pb2 as oip
from node.wire.inference import grpc_predict_v2_pb2_grpc as oip_grpc

ANSWER_BYTES_MAX = 1024 * 1024
DETAILS_LENGTH_MAX = 200
_OPTIONS = (
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
_RAW = {"FP32": "<f4", "FP64": "<f8", "INT32": "<i4", "INT64": "<i8"}
_FIELDS = {"FP32": "fp32_contents", "FP64": "fp64_contents", "INT32": "int_contents", "INT64": "int64_contents"}
_INPUT_TYPES = ("FP32", "FP64")


class RemoteModel:
    """One model of a server, its shapes checked against the card."""

    def __init__(self, card: Card, seconds_max: float = RUN_SECONDS_MAX, breaker: Breaker | None = None) -> None:
        assert card.remote is not None
        self._remote = card.remote
        self._length = card.input.length
        self._classes = len(card.classes)
        self._measures = frozenset(card.reject)
        self._seconds_max = seconds_max
        self._breaker = breaker or Breaker()
        self._channel = grpc.insecure_channel(self._remote.address, options=_OPTIONS)
        self._stub = oip_grpc.GRPCInferenceServiceStub(self._channel)
        try:
            self._type = self._check()
        except BaseException:
            self._channel.close()
            raise

    @property
    def fault(self) -> str:
        """Why it is left alone just now; empty otherwise."""
        return f"the server at {self._remote.address} does not answer" if self._breaker.is_open else ""

    def _check(self) -> str:
        """Hold the server's metadata against the card; answers the input's type."""
        request = oip.ModelMetadataRequest(name=self._remote.model, version=self._remote.version)
        found = self._call(self._stub.ModelMetadata, request)
        inputs = {one.name: one for one in found.inputs}
        if set(inputs) != {self._remote.input}:
            raise ModelFault(f"the server's model has the inputs {sorted(inputs)}, the card says {self._remote.input}")
        given = inputs[self._remote.input]
        shape = list(given.shape)
        if len(shape) != 2 or shape[0] not in (-1, 1) or shape[1] != self._length:
            raise ModelFault(f"the server's model takes {shape}, the card's input is [1, {self._length}]")
        if given.datatype not in _INPUT_TYPES:
            raise ModelFault(f"the server's model takes {given.datatype}, want {' or '.join(_INPUT_TYPES)}")
        outputs = {one.name: list(one.shape) for one in found.outputs}
        for name, size in {SCORES: self._classes, **dict.fromkeys(self._measures, 1)}.items():
            if name not in outputs:
                raise ModelFault(f"the server's model has no output {name}")
            fixed = [one for one in outputs[name] if one >= 0]
            if int(np.prod(fixed)) not in (size, 1):
                raise ModelFault(f"the server's output {name} has the shape {outputs[name]}, the card says {size}")
        return str(given.datatype)

    def run(self, values: Numbers) -> Mapping[str, Numbers]:
        """Scores and measures of one input, by the server."""
        request = oip.ModelInferRequest(
            model_name=self._remote.model,
            model_version=self._remote.version,
            inputs=[
                oip.ModelInferRequest.InferInputTensor(
                    name=self._remote.input,
                    datatype=self._type,
                    shape=[1, self._length],
                    contents=oip.InferTensorContents(**{_FIELDS[self._type]: values.tolist()}),
                )
            ],
            outputs=[
                oip.ModelInferRequest.InferRequestedOutputTensor(name=name)
                for name in (SCORES, *sorted(self._measures))
            ],
        )
        return held(_outputs(self._call(self._stub.ModelInfer, request)), self._classes, self._measures)

    def _call(self, call: Any, request: Any) -> Any:
        if not self._breaker.allows():
            raise ModelDown(f"{self.fault}; it is tried again soon")
        try:
            answer = call(request, timeout=self._seconds_max)
        except grpc.RpcError as fault:
            code, details = fault.code(), (fault.details() or "")[:DETAILS_LENGTH_MAX]
            is_down = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            self._breaker.went(well=not is_down)
            if code is grpc.StatusCode.UNAVAILABLE:
                raise ModelDown(f"the server at {self._remote.address} does not answer") from fault
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise ModelTimeout(f"the server gave no answer within {self._seconds_max:g} s") from fault
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise ModelBusy("the server takes no more calls") from fault
            raise ModelFault(f"the server refused: {code.name}: {details}") from fault
        self._breaker.went(well=True)
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def _outputs(answer: Any) -> dict[str, Numbers]:
    """The outputs by name, from either place where servers put them."""
    raws = list(answer.raw_output_contents)
    if raws and len(raws) != len(answer.outputs):
        raise ModelFault(f"the server gave {len(answer.outputs)} outputs and the values of {len(raws)}")
    found: dict[str, Numbers] = {}
    for at, one in enumerate(answer.outputs):
        if one.datatype not in _FIELDS:
            raise ModelFault(f"the server's output {one.name} is {one.datatype}, want one of {', '.join(_FIELDS)}")
        try:
            values = (
                np.frombuffer(raws[at], _RAW[one.datatype]) if raws else getattr(one.contents, _FIELDS[one.datatype])
            )
        except ValueError as fault:
            raise ModelFault(f"the server's output {one.name} is cut short") from fault
        found[one.name] = np.asarray(values, np.float64)
    return found
