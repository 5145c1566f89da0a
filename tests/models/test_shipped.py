"""The two models that come with the node: held to what their cards say, and to strangers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from node.errors import Reason, VTraceError
from node.models.card import read_card
from node.models.catalogue import SHIPPED, Catalogue
from scripts import train_models

from .test_catalogue import loaded

NAMES = [recipe.name for recipe in train_models.RECIPES]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return loaded(SHIPPED)


def _card(name: str) -> Any:
    return json.loads((SHIPPED / name / "1/card.json").read_bytes())


def written(name: str, row: np.ndarray) -> bytes:
    """A sample as a caller would send it."""
    if name == "wine-cultivar":
        titles = [analyte["name"] for analyte in _card(name)["input"]["analytes"]]
        return (",".join(titles) + "\n" + ",".join(map(repr, row.tolist()))).encode()
    return "\n".join(map(repr, row.tolist())).encode()


def _answer(catalogue: Catalogue, name: str, row: np.ndarray) -> str | None:
    try:
        return str(catalogue.recognise(name, written(name, row)).evidence["label"])
    except VTraceError as refusal:
        if refusal.reason is not Reason.PREDICT_RESULT_UNAVAILABLE:
            raise
        return None


def test_the_shipped_models_are_these() -> None:
    assert sorted(path.name for path in SHIPPED.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_held_out_samples_do_as_the_card_says(catalogue: Catalogue, name: str) -> None:
    held = train_models.held_out(name)
    answers = [_answer(catalogue, name, row) for row in held.x]
    says = _card(name)["accuracy"]["held_out"]
    right = [held.labels[y] for y in held.y]
    assert len(answers) == says["samples"]
    assert answers.count(None) == says["refused"]
    assert sum(a == r for a, r in zip(answers, right, strict=True)) == says["answered_correctly"]
    assert sum(a not in (r, None) for a, r in zip(answers, right, strict=True)) == says["answered_wrongly"] == 0
    found = train_models.outputs((SHIPPED / name / "1/model.onnx").read_bytes(), held.x, _card(name))
    plain = [held.labels[int(np.argmax(one["scores"]))] for one in found]
    accuracy = sum(p == r for p, r in zip(plain, right, strict=True)) / len(right)
    assert round(accuracy, 4) == says["accuracy_without_refusal"]
    low, high = says["interval_95"]
    assert low < accuracy <= high


@pytest.mark.parametrize("name", NAMES)
def test_strangers_are_all_refused(catalogue: Catalogue, name: str) -> None:
    rows = train_models.strangers(name, train_models.held_out(name).x)
    assert len(rows) == 1_000
    answered = [number for number, row in enumerate(rows) if _answer(catalogue, name, row) is not None]
    assert answered == []


@pytest.mark.parametrize("row", [np.zeros(1841), np.full(1841, 7.0), np.full(1841, 1e29), np.eye(1841)[0]])
def test_spectra_without_shape_are_refused(catalogue: Catalogue, row: np.ndarray) -> None:
    assert _answer(catalogue, "coffee-origin-demo", row) is None


def test_a_mixture_of_two_coffees_is_refused(catalogue: Catalogue) -> None:
    held = train_models.held_out("coffee-origin-demo")
    first, second = (held.x[held.y == number][0] for number in (0, 1))
    assert _answer(catalogue, "coffee-origin-demo", (first + second) / 2) is None


@pytest.mark.parametrize("recipe", train_models.RECIPES, ids=lambda recipe: recipe.name)
def test_training_again_gives_the_same_files(recipe: train_models.Recipe) -> None:
    assert train_models.differences(recipe, *train_models.made(recipe)) == []


def test_the_cards_say_what_they_do_not_show() -> None:
    assert "brewed differently" in " ".join(_card("coffee-origin-demo")["limits"])
    for name in NAMES:
        card = read_card((SHIPPED / name / "1/card.json").read_bytes())
        assert card.scores_are_probabilities == (name == "wine-cultivar")
        assert _card(name)["training"]["licence"] in ("MIT", "BSD-3-Clause")
