"""Models in ONNX files, run by onnxruntime: one thread a run, a deadline, few runs at once.

The graph takes ``x``, float32 of shape (1 or any, length), and gives ``scores`` and the card's measures. The deadline
is held between the graph's operators, so that one endless loop ends, but one giant operator does not: hence the bound
on the file.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from node.models.card import Card
from node.models.deadline import Deadlines
from node.models.outputs import held
from node.models.runner import RUN_SECONDS_MAX, SCORES, ModelBusy, ModelFault, ModelTimeout, Numbers

RUNS_AT_ONCE_MAX = 4
INPUT = "x"
LOG_FATAL_ONLY = 4

_deadlines = Deadlines()


class OnnxModel:
    """One ONNX file, checked against its card by a trial run."""

    fault = ""

    def __init__(self, content: bytes, card: Card, seconds_max: float = RUN_SECONDS_MAX) -> None:
        self._classes = len(card.classes)
        self._measures = frozenset(card.reject)
        self._wanted = [SCORES, *sorted(self._measures)]
        self._seconds_max = seconds_max
        self._slots = threading.BoundedSemaphore(RUNS_AT_ONCE_MAX)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = LOG_FATAL_ONLY
        try:
            self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as fault:
            raise ModelFault(f"model.onnx can't be loaded: {_first_line(fault)}") from fault
        self._check(card.input.length)
        self.run(np.zeros(card.input.length))

    def _check(self, length: int) -> None:
        inputs, outputs = self._session.get_inputs(), {one.name for one in self._session.get_outputs()}
        if len(inputs) != 1 or inputs[0].name != INPUT or inputs[0].type != "tensor(float)":
            raise ModelFault(f"model.onnx: want one input {INPUT} of float32")
        shape = inputs[0].shape
        if len(shape) != 2 or shape[1] != length or (isinstance(shape[0], int) and shape[0] != 1):
            raise ModelFault(f"model.onnx takes {shape}, the card's input is [1, {length}]")
        if missing := set(self._wanted) - outputs:
            raise ModelFault(f"model.onnx has no output {min(missing)}")

    def run(self, values: Numbers) -> Mapping[str, Numbers]:
        """Scores and measures of one input."""
        if not self._slots.acquire(timeout=self._seconds_max):
            raise ModelBusy(f"{RUNS_AT_ONCE_MAX} runs are under way")
        run = ort.RunOptions()
        run.log_severity_level = LOG_FATAL_ONLY
        late = False

        def stop() -> None:
            nonlocal late
            late = True
            run.terminate = True

        try:
            with _deadlines.within(self._seconds_max, stop):
                found = self._session.run(self._wanted, {INPUT: values.astype(np.float32)[np.newaxis]}, run)
        except Exception as fault:
            if late:
                raise ModelTimeout(f"no answer within {self._seconds_max:g} s") from fault
            raise ModelFault(f"the model broke: {_first_line(fault)}") from fault
        finally:
            self._slots.release()
        return held(dict(zip(self._wanted, found, strict=True)), self._classes, self._measures)

    def close(self) -> None:
        """Nothing is held beyond memory."""


def _first_line(fault: Exception) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0][:300]
