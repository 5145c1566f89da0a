"""Small models and cards for tests."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LENGTH = 3

CARD: dict[str, Any] = {
    "name": "tiny",
    "version": 1,
    "description": "Names the larger of the first two values; the third is its measure.",
    "input": {"kind": "spectrum", "length": LENGTH},
    "preprocessing": ["none"],
    "classes": [
        {"label": "first", "material": {"name": "First", "alias": "1st", "des": "of two"}},
        {"label": "second", "material": {"name": "Second"}},
    ],
    "scores": "none",
    "reject": {"measure": {"least": 0, "most": 10}},
    "training": {"data": "none", "licence": "none", "samples": 1},
    "accuracy": {"method": "none"},
    "limits": ["for tests alone"],
}


def card(**changes: Any) -> dict[str, Any]:
    """The card with entries changed; None takes one away."""
    made = {**copy.deepcopy(CARD), **changes}
    return {key: value for key, value in made.items() if value is not None}


def onnx_bytes(
    *,
    length: int | str = LENGTH,
    classes: int = 2,
    measure: str = "measure",
    name: str = "x",
    dtype: int = TensorProto.FLOAT,
    nodes: list[onnx.NodeProto] | None = None,
) -> bytes:
    """A graph whose scores are its first values, and whose measure is its third."""
    ends = {"zero": [0], "classes": [classes], "two": [2], "three": [3], "axis": [1]}
    own = [
        helper.make_node("Slice", [name, "zero", "classes", "axis"], ["scores"]),
        helper.make_node("Slice", [name, "two", "three", "axis"], [measure]),
    ]
    graph = helper.make_graph(
        nodes or own,
        "tiny",
        [helper.make_tensor_value_info(name, dtype, [None, length])],
        [helper.make_tensor_value_info(one, dtype, None) for one in ("scores", measure)],
        [numpy_helper.from_array(np.array(value, np.int64), key) for key, value in ends.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def endless() -> bytes:
    """A graph that would run for hours: a loop of 2^40 small steps."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["so_far", "tiny"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("so_far", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    times = helper.make_node("Constant", [], ["times"], value=numpy_helper.from_array(np.array(2**40, np.int64)))
    tiny = helper.make_node("Constant", [], ["tiny"], value=numpy_helper.from_array(np.array(1e-9, np.float32)))
    loop = helper.make_node("Loop", ["times", "", "x"], ["looped"], body=body)
    scores = helper.make_node("Slice", ["looped", "zero", "classes", "axis"], ["scores"])
    measure = helper.make_node("Slice", ["looped", "two", "three", "axis"], ["measure"])
    return onnx_bytes(nodes=[times, tiny, loop, scores, measure])


def put(folder: Path, made: dict[str, Any] | None = None, model: bytes | None = None) -> Path:
    """A model folder in ``folder``; answers ``folder``."""
    made = made or card()
    home = folder / made["name"] / str(made["version"])
    home.mkdir(parents=True)
    (home / "card.json").write_text(json.dumps(made))
    (home / "model.onnx").write_bytes(onnx_bytes() if model is None else model)
    return folder
