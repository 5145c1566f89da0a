"""Models that another server runs: shapes held against the card, deadlines, outages, and a real MLServer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from node.domain.recognition import ModelState
from node.errors import Reason, Status, VTraceError
from node.models import catalogue as module
from node.models.breaker import FAILURES_MAX, OPEN_SECONDS, Breaker
from node.models.card import Card, read_card
from node.models.catalogue import Catalogue
from node.models.remote import RemoteModel
from node.models.runner import ModelBusy, ModelDown, ModelFault, ModelTimeout
from tests.support.node import eventually

from . import make, servers
from .servers import Server, Tensor, answer, metadata


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


def _says(address: str, **more: str) -> dict[str, Any]:
    return make.card(remote={"address": address, "model": "tiny", **more})


def _card(address: str, **more: str) -> Card:
    return read_card(json.dumps(_says(address, **more)).encode())


def _refuse(code: grpc.StatusCode) -> Any:
    return lambda _, context: context.abort(code, "no")


def test_the_server_answers_for_the_model(server: Server) -> None:
    model = RemoteModel(_card(server.address, version="7"))
    found = model.run(np.array([1.0, 2.0, 5.0]))
    assert {name: value.tolist() for name, value in found.items()} == {"scores": [1.0, 2.0], "measure": [5.0]}
    asked = server.asked[-1]
    assert (asked.model_name, asked.model_version, list(asked.inputs[0].shape)) == ("tiny", "7", [1, 3])
    assert [one.name for one in asked.outputs] == ["scores", "measure"]
    assert model.fault == ""
    model.close()


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_values_are_read_wherever_they_stand(server: Server, raw: bool, datatype: str) -> None:
    server.on_infer = lambda *_: answer([1, 2, 3], raw=raw, datatype=datatype)
    model = RemoteModel(_card(server.address))
    assert model.run(np.zeros(3))["scores"].tolist() == [1.0, 2.0]
    model.close()


def _inputs(**changes: Any) -> Any:
    return metadata(inputs=[Tensor(**{"name": "x", "datatype": "FP32", "shape": [-1, 3], **changes})])


SHAPES: dict[str, tuple[Any, str]] = {
    "no inputs": (metadata(inputs=[]), r"has the inputs \[\], the card says x"),
    "another input": (_inputs(name="input"), r"has the inputs \['input'\]"),
    "another length": (_inputs(shape=[-1, 4]), r"takes \[-1, 4\], the card's input is \[1, 3\]"),
    "another rank": (_inputs(shape=[3]), r"takes \[3\]"),
    "another type": (_inputs(datatype="BYTES"), "takes BYTES, want FP32 or FP64"),
    "no outputs": (metadata(outputs=[]), "has no output scores|has no output measure"),
    "another number of classes": (
        metadata(outputs=[Tensor(name="scores", shape=[-1, 5]), Tensor(name="measure", shape=[-1, 1])]),
        r"output scores has the shape \[-1, 5\], the card says 2",
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_model_of_another_shape_is_refused(server: Server, name: str) -> None:
    said, words = SHAPES[name]
    server.on_metadata = lambda *_: said
    with pytest.raises(ModelFault, match=words):
        RemoteModel(_card(server.address))


def _cut() -> Any:
    made = answer([1, 2, 3], raw=True)
    made.raw_output_contents[0] = b"\x00" * 7
    return made


def _typed(datatype: str) -> Any:
    made = answer([1, 2, 3])
    made.outputs[0].datatype = datatype
    return made


ANSWERS: dict[str, tuple[Any, str]] = {
    "nothing": (servers.oip.ModelInferResponse(), "output .* has nothing"),
    "too few scores": (answer([1]), "output scores has 1 values, the card says 2"),
    "too many measures": (servers.answer([1, 2]), "output measure has 0 values"),
    "values cut short": (_cut(), "output scores is cut short"),
    "text": (_typed("BYTES"), "output scores is BYTES"),
    "the values of another type": (_typed("FP64"), "output scores has 0 values"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_of_another_shape_is_refused(server: Server, name: str) -> None:
    said, words = ANSWERS[name]
    server.on_infer = lambda *_: said
    model = RemoteModel(_card(server.address))
    with pytest.raises(ModelFault, match=words):
        model.run(np.zeros(3))
    model.close()


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (grpc.StatusCode.NOT_FOUND, ModelFault),
        (grpc.StatusCode.INTERNAL, ModelFault),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ModelBusy),
        (grpc.StatusCode.UNAVAILABLE, ModelDown),
    ],
)
def test_a_refusal_of_the_server_is_told_apart(server: Server, code: grpc.StatusCode, fault: type[Exception]) -> None:
    model = RemoteModel(_card(server.address))
    server.on_infer = _refuse(code)
    with pytest.raises(fault):
        model.run(np.zeros(3))
    model.close()


def test_a_slow_server_is_not_waited_for(server: Server) -> None:
    model = RemoteModel(_card(server.address), seconds_max=0.2)
    told = threading.Event()
    server.on_infer = lambda *_: answer([1, 2, 3]) if told.wait(30) else answer([])
    try:
        with pytest.raises(ModelTimeout, match=r"no answer within 0\.2 s"):
            model.run(np.zeros(3))
    finally:
        told.set()
        model.close()


def test_a_server_that_fails_is_left_alone_for_a_while(server: Server) -> None:
    now = 100.0
    model = RemoteModel(_card(server.address), breaker=Breaker(lambda: now))
    works, server.on_infer = server.on_infer, _refuse(grpc.StatusCode.UNAVAILABLE)
    for _ in range(FAILURES_MAX):
        with pytest.raises(ModelDown):
            model.run(np.zeros(3))
    assert "does not answer" in model.fault
    asked = len(server.asked)
    with pytest.raises(ModelDown, match="tried again soon"):
        model.run(np.zeros(3))
    assert len(server.asked) == asked
    now += OPEN_SECONDS
    with pytest.raises(ModelDown):
        model.run(np.zeros(3))
    assert len(server.asked) == asked + 1
    with pytest.raises(ModelDown, match="tried again soon"):
        model.run(np.zeros(3))
    server.on_infer = works
    now += OPEN_SECONDS
    assert model.run(np.zeros(3))["measure"] == [0.0]
    assert model.fault == ""
    model.close()


def test_half_open_lets_one_call_through() -> None:
    now = 0.0
    breaker = Breaker(lambda: now)
    for _ in range(FAILURES_MAX):
        assert breaker.allows()
        breaker.went(well=False)
    now = OPEN_SECONDS
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.went(well=True)
    assert [breaker.allows() for _ in range(3)] == [True, True, True]


def test_a_server_that_comes_later_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.1)
    first = Server()
    address = first.address
    first.stop()
    made = Catalogue([make.put(tmp_path, _says(address), model=b"")])
    made.start()
    eventually(lambda: made.models()[0].state is ModelState.UNAVAILABLE)
    assert "does not answer" in made.models()[0].reason
    with pytest.raises(VTraceError) as refused:
        made.recognise("tiny", b"1\n2\n3")
    assert (refused.value.reason, refused.value.status) == (Reason.MODEL_PREDICT_FAILED, Status.UNAVAILABLE)
    second = Server(address)
    eventually(lambda: made.models()[0].state is ModelState.READY)
    assert made.recognise("tiny", b"1\n2\n3").material.name == "Second"
    second.stop()
    for _ in range(FAILURES_MAX + 1):
        with pytest.raises(VTraceError) as refused:
            made.recognise("tiny", b"1\n2\n3")
        assert (refused.value.status, refused.value.retry_seconds) == (Status.UNAVAILABLE, module.AGAIN_SECONDS)
    assert made.models()[0].state is ModelState.UNAVAILABLE
    made.close()


def test_the_address_is_nobodys_business(tmp_path: Path, server: Server) -> None:
    made = Catalogue([make.put(tmp_path, _says(server.address), model=b"")])
    made.load()
    assert made.models()[0].state is ModelState.READY
    assert server.address not in repr(made.models()[0].metadata)
    made.close()


def test_mlserver_runs_a_model(tmp_path: Path) -> None:
    python = servers.mlserver_python()
    if python is None:
        pytest.skip(f"{servers.MLSERVER} can't be installed here")
    home, models = tmp_path / "server", tmp_path / "models"
    home.mkdir()
    with servers.mlserver(python, home) as address:
        made = Catalogue([make.put(models, _says(address), model=b"")])
        made.start()
        eventually(lambda: made.models()[0].state is ModelState.READY)
        assert made.recognise("tiny", b"1\n2\n3").material.name == "Second"
        with pytest.raises(VTraceError) as refused:
            made.recognise("tiny", b"1\n2\n300")
        assert refused.value.reason is Reason.PREDICT_RESULT_UNAVAILABLE
        wrong = read_card(json.dumps(make.card(remote={"address": address, "model": "nobody"})).encode())
        with pytest.raises(ModelFault, match="the server refused: NOT_FOUND"):
            RemoteModel(wrong)
        made.close()
