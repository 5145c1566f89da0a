"""The catalogue: what is in a folder is listed, and what can't be used says why and harms nobody."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from node.domain.recognition import Model, ModelState
from node.errors import Reason, SetupError, Status, VTraceError
from node.models import catalogue as module
from node.models.card import read_card
from node.models.catalogue import Catalogue
from node.models.onnx import RUNS_AT_ONCE_MAX, OnnxModel
from node.models.runner import ModelBusy, ModelFault, ModelTimeout

from . import make


def loaded(*folders: Path) -> Catalogue:
    """A catalogue that has loaded all that it can."""
    made = Catalogue(folders)
    made.load()
    return made


def _only(folder: Path) -> Model:
    (found,) = loaded(folder).models()
    return found


def test_a_model_is_loading_and_then_ready(tmp_path: Path) -> None:
    made = Catalogue([make.put(tmp_path)])
    assert [one.state for one in made.models()] == [ModelState.LOADING]
    with pytest.raises(VTraceError) as refused:
        made.recognise("tiny", b"2\n1\n5")
    assert (refused.value.status, refused.value.retry_seconds) == (Status.UNAVAILABLE, 1)
    made.start()
    made._loader.join()
    made.close()
    (ready,) = made.models()
    assert (ready.state, ready.reason) == (ModelState.READY, "")
    assert [one.name for one in ready.materials] == ["First", "Second"]
    seen = made.recognise("tiny", b"2\n1\n5")
    assert (seen.material.name, seen.evidence) == ("First", {"label": "first", "measures": {"measure": 5.0}})


def test_a_probability_stands_where_it_means_something(tmp_path: Path) -> None:
    made = loaded(make.put(tmp_path, make.card(scores="probability")))
    assert made.recognise("tiny", b"0.25\n0.75\n5").evidence["probability"] == 0.75


@pytest.mark.parametrize("values", [b"1\n2\n10.5", b"1\n2\n-1"])
def test_what_is_out_of_bounds_cannot_be_told(tmp_path: Path, values: bytes) -> None:
    made = loaded(make.put(tmp_path))
    with pytest.raises(VTraceError, match="cannot be told: by its measure") as refused:
        made.recognise("tiny", values)
    assert refused.value.reason is Reason.PREDICT_RESULT_UNAVAILABLE
    assert refused.value.metadata["measure"] == "measure"


def test_a_measure_that_is_no_number_cannot_be_told(tmp_path: Path) -> None:
    log = onnx.helper.make_node("Log", ["x"], ["logs"])
    scores = onnx.helper.make_node("Slice", ["logs", "zero", "classes", "axis"], ["scores"])
    measure = onnx.helper.make_node("Slice", ["logs", "two", "three", "axis"], ["measure"])
    made = loaded(make.put(tmp_path, model=make.onnx_bytes(nodes=[log, scores, measure])))
    for values in (b"1\n2\n-1", b"-1\n-1\n2"):
        with pytest.raises(VTraceError) as refused:
            made.recognise("tiny", values)
        assert refused.value.reason is Reason.PREDICT_RESULT_UNAVAILABLE


def test_the_newest_version_answers_unless_another_is_named(tmp_path: Path) -> None:
    for version in (1, 2, 10):
        make.put(tmp_path, make.card(version=version))
    make.put(tmp_path, make.card(version=11), model=b"broken")
    made = loaded(tmp_path)
    assert [(one.version, one.state.value) for one in made.models()] == [
        (1, "ready"),
        (2, "ready"),
        (10, "ready"),
        (11, "unavailable"),
    ]
    assert made.recognise("tiny", b"1\n2\n3").model.version == 10
    assert made.recognise("tiny/2", b"1\n2\n3").model.version == 2
    for name in ("tiny/3", "tiny/", "tin", "tiny/02", "../tiny", ""):
        with pytest.raises(VTraceError) as refused:
            made.recognise(name, b"1\n2\n3")
        assert refused.value.reason is Reason.MODEL_NOT_FOUND
    with pytest.raises(VTraceError, match=r"model tiny is unavailable: model.onnx can't be loaded") as refused:
        made.recognise("tiny/11", b"1\n2\n3")
    assert (refused.value.reason, refused.value.status) == (Reason.MODEL_PREDICT_FAILED, Status.FAILED_PRECONDITION)


def test_the_first_folder_wins(tmp_path: Path) -> None:
    first = make.put(tmp_path / "a")
    second = make.put(tmp_path / "b", make.card(description="an impostor"))
    assert [one.description for one in loaded(first, second).models()] == [make.CARD["description"]]


def _card(path: Path, content: bytes) -> None:
    (path / "tiny/1/card.json").write_bytes(content)


def _model(**changes: object) -> Callable[[Path], None]:
    return lambda path: (path / "tiny/1/model.onnx").write_bytes(make.onnx_bytes(**changes)) and None  # type: ignore[arg-type]


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no card": (lambda path: (path / "tiny/1/card.json").unlink(), "card.json: No such file"),
    "no model": (lambda path: (path / "tiny/1/model.onnx").unlink(), "model.onnx is missing"),
    "a card that is none": (lambda path: _card(path, b"{"), "card.json: want one JSON object"),
    "a card of another model": (
        lambda path: _card(path, json.dumps(make.card(name="other")).encode()),
        "card.name and card.version: want tiny and 1",
    ),
    "a card that is a folder": (
        lambda path: ((path / "tiny/1/card.json").unlink(), (path / "tiny/1/card.json").mkdir()),
        "card.json: Is a directory",
    ),
    "a model that is none": (
        lambda path: (path / "tiny/1/model.onnx").write_bytes(b"x" * 1_000),
        "model.onnx can't be loaded",
    ),
    "an empty model": (lambda path: (path / "tiny/1/model.onnx").write_bytes(b""), "model.onnx can't be loaded"),
    "another model than the card's": (
        lambda path: _card(path, json.dumps(make.card(sha256="0" * 64)).encode()),
        "not the one of the card",
    ),
    "another input": (_model(name="input"), "want one input x of float32"),
    "another type": (_model(dtype=TensorProto.DOUBLE), "want one input x of float32"),
    "another length": (_model(length=4), r"model.onnx takes \[.*, 4\], the card's input is \[1, 3\]"),
    "any length": (_model(length="any"), "the card's input is"),
    "another number of classes": (_model(classes=3), "its output scores has 3 values, the card says 2"),
    "no measure": (_model(measure="other"), "no output measure|can't be loaded"),
    "an external file": (
        lambda path: (path / "tiny/1/model.onnx").write_bytes(_external()),
        "model.onnx can't be loaded",
    ),
    "an endless loop": (
        lambda path: (path / "tiny/1/model.onnx").write_bytes(make.endless()),
        "no answer within",
    ),
}


def _external() -> bytes:
    made = onnx.load_from_string(make.onnx_bytes())
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/hostname"
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_can_not_be_used_says_why(tmp_path: Path, name: str) -> None:
    damage, words = BROKEN[name]
    make.put(tmp_path, make.card(name="whole"))
    damage(make.put(tmp_path))
    made = loaded(tmp_path)
    broken, whole = made.models()
    assert (broken.name, broken.version, broken.state) == ("tiny", 1, ModelState.UNAVAILABLE)
    assert re.search(words, broken.reason), broken.reason
    assert whole.state is ModelState.READY
    assert made.recognise("whole", b"1\n2\n3").material.name == "Second"


def test_a_model_over_the_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MODEL_BYTES_MAX", 100)
    assert _only(make.put(tmp_path)).reason == "model.onnx: more than 100 bytes"


def test_a_digest_that_fits_is_taken(tmp_path: Path) -> None:
    digest = hashlib.sha256(make.onnx_bytes()).hexdigest()
    assert _only(make.put(tmp_path, make.card(sha256=digest))).state is ModelState.READY


def test_other_things_in_the_folder_are_passed_over(tmp_path: Path) -> None:
    make.put(tmp_path)
    (tmp_path / "README").write_text("x")
    (tmp_path / "tiny/notes.txt").write_text("x")
    for stray in ("Upper/1", "tiny/latest", "tiny/0", "tiny/99999999999", ".git/1", "x y/1"):
        (tmp_path / stray).mkdir(parents=True)
    assert _only(tmp_path).name == "tiny"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"--models .*No such file"):
        Catalogue([tmp_path / "none"])


def test_too_many_models_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MODELS_MAX", 1)
    make.put(make.put(tmp_path), make.card(version=2))
    with pytest.raises(SetupError, match="more than 1 models"):
        Catalogue([tmp_path])


def test_a_model_that_breaks_says_nothing_of_the_inside(tmp_path: Path) -> None:
    made = loaded(make.put(tmp_path))

    class Breaks:
        def run(self, _: object) -> object:
            raise ModelFault("secret path")

        def close(self) -> None: ...

    made._entries["tiny", 1].runner = Breaks()  # type: ignore[assignment]
    with pytest.raises(VTraceError) as refused:
        made.recognise("tiny", b"1\n2\n3")
    assert (refused.value.reason, refused.value.status) == (Reason.MODEL_PREDICT_FAILED, Status.INTERNAL)
    assert "secret" not in refused.value.message


def test_a_run_ends_at_its_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(ModelTimeout, match=r"no answer within 0\.2 s"):
        OnnxModel(make.endless(), read_card(json.dumps(make.card()).encode()), seconds_max=0.2)
    assert time.monotonic() - began < 5


def test_few_runs_at_once() -> None:
    runner = OnnxModel(make.onnx_bytes(), read_card(json.dumps(make.card()).encode()), seconds_max=0.1)
    for _ in range(RUNS_AT_ONCE_MAX):
        runner._slots.acquire()
    with pytest.raises(ModelBusy):
        runner.run(np.zeros(3))
    runner._slots.release()
    assert runner.run(np.array([1.0, 2.0, 3.0]))["measure"] == [3.0]


def test_many_callers_get_their_own_answers(tmp_path: Path) -> None:
    made = loaded(make.put(tmp_path))
    wrong: list[object] = []

    def ask(wanted: str, data: bytes) -> None:
        for _ in range(100):
            found = made.recognise("tiny", data).material.name
            if found != wanted:
                wrong.append(found)

    callers = [threading.Thread(target=ask, args=pair) for pair in [("First", b"2\n1\n0"), ("Second", b"1\n2\n0")] * 4]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []
