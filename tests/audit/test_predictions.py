"""Predictions in exam circs: the auditor runs the model again, and believes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from node.flow.audit import Auditor, What
from node.flow.audit.predictions import Predictions
from node.flow.audit.shown import AuditImpossible, ShownCirc, ShownGoods
from node.models.catalogue import Catalogue
from tests.audit.world import EXAM, FORM, PRODUCE, new_world
from tests.models import make

CLAIM: dict[str, Any] = {"model": "tiny", "version": 1, "input": "first", "material": "First"}
FILES = {"first": b"2\n1\n5", "second": b"1\n2\n5", "strange": b"1\n2\n500", "short": b"1"}


def _circ(form: object, *, circ_type: int = 4, status: str = "success") -> ShownCirc:
    written = form if isinstance(form, bytes) else json.dumps(form).encode()
    return ShownCirc(7, circ_type, "u", "u", "u", written, b"", "0x12ab" + "0" * 60, None, 0, status)


@pytest.fixture
def predictions(tmp_path: Path) -> Predictions:
    catalogue = Catalogue([make.put(tmp_path / "models")])
    catalogue.load()
    return Predictions(catalogue.recognise, FILES.get)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _found(predictions: Predictions, *circs: ShownCirc) -> list[str]:
    return [str(one) for one in predictions.differences(7, ShownGoods(7, None, None, circs))]


def test_what_the_model_repeats_is_no_difference(predictions: Predictions) -> None:
    second = {**CLAIM, "input": "second", "material": "Second"}
    assert _found(predictions, _circ({"prediction": CLAIM}), _circ({"prediction": second, "score": 3})) == []
    assert predictions.held == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"material": "Second"}, "prediction differs: it names 'Second', the model sees 'First'"),
        ({"input": "second"}, "it names 'First', the model sees 'Second'"),
        ({"input": "strange"}, "the model refuses the input: cannot be told"),
        ({"input": "short"}, "the model refuses the input: data: 1 points"),
        ({"input": "gone"}, "nobody has its input 'gone'"),
    ],
)
def test_what_the_model_does_not_repeat_is_named(predictions: Predictions, changes: Any, words: str) -> None:
    (line,) = _found(predictions, _circ({"prediction": {**CLAIM, **changes}}))
    assert line.startswith("goods 7: circ 0x12ab")
    assert words in line


@pytest.mark.parametrize(
    "circ",
    [
        _circ({"prediction": {**CLAIM, "material": "Second"}}, circ_type=1),
        _circ({"prediction": {**CLAIM, "material": "Second"}}, status="failed"),
        _circ({"prediction": {**CLAIM, "material": "Second"}}, status="pending"),
        _circ({"prediction": "rain"}),
        _circ({"prediction": {**CLAIM, "version": "1"}}),
        _circ({"prediction": {**CLAIM, "model": ["tiny"]}}),
        _circ({"prediction": {"model": "tiny"}}),
        _circ([{"prediction": CLAIM}]),
        _circ(b'{"prediction": ' + b"[" * 50_000),
        _circ(b""),
    ],
    ids=range(10),
)
def test_what_is_no_evidence_is_a_form_like_any_other(predictions: Predictions, circ: ShownCirc) -> None:
    assert _found(predictions, circ) == []
    assert predictions.held == 0


@pytest.mark.parametrize("changes", [{"model": "nobody"}, {"version": 2}])
def test_a_model_that_the_auditor_does_not_have_ends_the_audit(predictions: Predictions, changes: Any) -> None:
    with pytest.raises(AuditImpossible, match=r"can't be run here.*--models"):
        _found(predictions, _circ({"prediction": {**CLAIM, **changes}}))


def test_an_audit_runs_predictions_again_when_it_is_asked_to(tmp_path: Path, predictions: Predictions) -> None:
    with new_world(_made(tmp_path / "world")) as world:
        world.circulate([1], PRODUCE, "coop", form=FORM.to_bytes())
        for claim in (CLAIM, {**CLAIM, "material": "Second"}):
            world.circulate([1], EXAM, "coop", form=json.dumps({"prediction": claim}).encode())
        assert Auditor(world.view, world.chain, world.address).audit([1]).differences == ()
        report = Auditor(world.view, world.chain, world.address, predictions=predictions).audit([1])
    assert [one.what for one in report.differences] == [What.PREDICTION]
    assert report.circs == 3


def test_the_same_claim_is_run_once(tmp_path: Path) -> None:
    asked: list[str] = []
    catalogue = Catalogue([make.put(tmp_path / "models")])
    catalogue.load()

    def fetch(cid: str) -> bytes | None:
        asked.append(cid)
        return FILES.get(cid)

    predictions = Predictions(catalogue.recognise, fetch)
    _found(predictions, *[_circ({"prediction": CLAIM})] * 5)
    assert asked == ["first"]
