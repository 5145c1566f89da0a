"""Trains the two models that come with the node, from data that packages ship, and measures what their cards say.

Run it from the top of the repository: python -m scripts.train_models, or with --check to hold the files that are
there against a new training (the digest of the file apart, to 1e-6). Nothing is downloaded.

Each data set is split once: two thirds train, one third is held out and never seen by the shipped model. The bounds
beyond which a model tells nothing come from the training part alone, from predictions for samples left out in turn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chemotools.datasets
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.covariance import LedoitWolf
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split

from node.models.card import Bound, read_card
from node.models.onnx import OnnxModel

SHIPPED = Path(__file__).parent.parent / "node/models/shipped"
TOLERANCE = 1e-6
SEED = 20_261_123
FOLDS = 5
OPSET, IR_VERSION = 17, 8
HELD_OUT_SHARE = 1 / 3
Z_95 = 1.959963984540054
PROBES = 1_000


@dataclass(frozen=True)
class Data:
    """Samples as rows, the class of each, and the classes' labels."""

    x: np.ndarray
    y: np.ndarray
    labels: list[str]

    def part(self, rows: np.ndarray) -> Data:
        return Data(self.x[rows], self.y[rows], self.labels)

    def split(self) -> tuple[Data, Data]:
        """The part to train on, and the part that is held out."""
        train, held = train_test_split(
            np.arange(len(self.y)), test_size=HELD_OUT_SHARE, stratify=self.y, random_state=SEED
        )
        return self.part(np.sort(train)), self.part(np.sort(held))


def wine() -> Data:
    """scikit-learn's wine: 178 analyses of 13 analytes."""
    bunch = load_wine()
    return Data(bunch.data, bunch.target, [str(name) for name in bunch.target_names])


def coffee() -> Data:
    """chemotools' coffee: 60 mid-infrared spectra of 1,841 points."""
    folder = Path(chemotools.datasets.__file__).parent / "data"
    x = np.loadtxt(folder / "coffee_spectra.csv", delimiter=",", skiprows=1)
    labels, y = np.unique((folder / "coffee_labels.csv").read_text().split()[1:], return_inverse=True)
    return Data(x, y, [str(label) for label in labels])


class Graph:
    """An ONNX graph, written operator by operator."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._names = 0

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        self._names += 1
        output = name or f"t{self._names}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def top_two_gap(self, scores: str) -> None:
        """``margin``: by how much the best score leads."""
        values, places = "best", "places"
        node = helper.make_node("TopK", [scores, self.constant([2], np.int64)], [values, places], axis=1)
        self._nodes.append(node)
        first = self.op("Slice", values, *(self.constant([v], np.int64) for v in (0, 1, 1)))
        second = self.op("Slice", values, *(self.constant([v], np.int64) for v in (1, 2, 1)))
        self.op("Sub", first, second, name="margin")

    def to_bytes(self, outputs: dict[str, int]) -> bytes:
        def tensor(name: str, size: int) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, size])

        graph = helper.make_graph(
            self._nodes,
            "model",
            [tensor("x", self._length)],
            [tensor(name, size) for name, size in outputs.items()],
            self._constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="vtrace"
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def train_wine(data: Data) -> bytes:
    """Standardise, logistic regression; distance to the named class (Mahalanobis, shrunk covariance of each class)."""
    mean, deviation = data.x.mean(axis=0), data.x.std(axis=0)
    z = (data.x - mean) / deviation
    logistic = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-12, max_iter=1_000).fit(z, data.y)
    shapes = [LedoitWolf().fit(z[data.y == c]) for c in range(len(data.labels))]
    g = Graph(data.x.shape[1])
    standard = g.op("Div", g.op("Sub", "x", g.constant(mean)), g.constant(deviation))
    linear = g.op("Gemm", standard, g.constant(logistic.coef_.T), g.constant(logistic.intercept_))
    scores = g.op("Softmax", linear, name="scores", axis=1)
    axes = g.constant([1], np.int64)
    distances = []
    for shape in shapes:
        away = g.op("Sub", standard, g.constant(shape.location_))
        white = g.op("MatMul", away, g.constant(np.linalg.cholesky(shape.precision_)))
        distances.append(g.op("Sqrt", g.op("ReduceSum", g.op("Mul", white, white), axes, keepdims=1)))
    all_distances = g.op("Concat", *distances, axis=1)
    best = g.op("ArgMax", scores, axis=1, keepdims=1)
    g.op("GatherElements", all_distances, best, name="distance", axis=1)
    g.top_two_gap(scores)
    return g.to_bytes({"scores": len(data.labels), "distance": 1, "margin": 1})


COFFEE_COMPONENTS = 5


def train_coffee(data: Data) -> bytes:
    """SNV, PLS-DA; the residual of a principal component model, and the distance within it (Hotelling's T²)."""
    snv = (data.x - data.x.mean(axis=1, keepdims=True)) / data.x.std(axis=1, keepdims=True)
    mean = snv.mean(axis=0)
    away = snv - mean
    _, _, rows = np.linalg.svd(away, full_matrices=False)
    components = rows[:COFFEE_COMPONENTS]
    components = (
        components * np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])[:, None]
    )
    spread = (away @ components.T).std(axis=0, ddof=1)
    pls = PLSRegression(COFFEE_COMPONENTS, scale=False).fit(away, np.eye(len(data.labels))[data.y])
    g = Graph(data.x.shape[1])
    axes = g.constant([1], np.int64)
    centred = g.op("Sub", "x", g.op("ReduceMean", "x", axes=[1], keepdims=1))
    square = g.op("ReduceMean", g.op("Mul", centred, centred), axes=[1], keepdims=1)
    normal = g.op("Sub", g.op("Div", centred, g.op("Sqrt", square)), g.constant(mean))
    scores = g.op("Gemm", normal, g.constant(pls.coef_.T), g.constant(pls.intercept_), name="scores")
    inside = g.op("MatMul", normal, g.constant(components.T))
    rest = g.op("Sub", normal, g.op("MatMul", inside, g.constant(components)))
    g.op("Sqrt", g.op("ReduceSum", g.op("Mul", rest, rest), axes, keepdims=1), name="residual")
    scaled = g.op("Div", inside, g.constant(spread))
    g.op("Sqrt", g.op("ReduceSum", g.op("Mul", scaled, scaled), axes, keepdims=1), name="distance")
    g.top_two_gap(scores)
    return g.to_bytes({"scores": len(data.labels), "residual": 1, "distance": 1, "margin": 1})


@dataclass(frozen=True)
class Recipe:
    """How one model is made. ``quantiles``: how much of the left-out training samples a bound lets pass."""

    name: str
    data: Callable[[], Data]
    train: Callable[[Data], bytes]
    quantiles: dict[str, float]
    margin_least: float
    words: dict[str, Any]


WINE_UNITS = {"alcohol": "%"}
"""The data names no units; that of alcohol is evident."""

RECIPES = (
    Recipe(
        "wine-cultivar",
        wine,
        train_wine,
        {"distance": 0.95},
        0.4,
        {
            "description": "Which of three cultivars of one Italian region a wine was made from, by 13 analytes.",
            "input": {
                "kind": "analytes",
                "analytes": [{"name": name, "unit": WINE_UNITS.get(name, "")} for name in load_wine().feature_names],
            },
            "preprocessing": ["each analyte less its mean, over its standard deviation, of the training samples"],
            "classes": [
                {
                    "label": f"class_{number}",
                    "material": {
                        "name": f"Wine of cultivar {number + 1}",
                        "alias": f"wine class_{number}",
                        "des": f"class_{number} of the wine data of the UCI repository; the data names no cultivar.",
                    },
                }
                for number in range(3)
            ],
            "scores": "probability",
            "training": {
                "data": "Wine recognition data (Forina and others, PARVUS; UCI repository), as scikit-learn ships it",
                "licence": "BSD-3-Clause",
            },
            "limits": [
                "It tells three cultivars of one region apart and knows no other wine: another wine that happens to "
                "have such values is named wrongly.",
                "The data names no units: every value must be in the unit that its range in the data shows.",
                "Values can be made up: what stands in the answer is only as true as the analysis.",
                "It was held to one laboratory's samples; another laboratory's method can shift every analyte.",
            ],
        },
    ),
    Recipe(
        "coffee-origin-demo",
        coffee,
        train_coffee,
        {"residual": 1.0, "distance": 1.0},
        0.5,
        {
            "description": "A demonstration: which of three brews of coffee a mid-infrared spectrum shows.",
            "input": {"kind": "spectrum", "length": 1841, "value_unit": "absorbance"},
            "preprocessing": [
                "standard normal variate: each spectrum less its own mean, over its own standard deviation",
                "less the mean spectrum of the training samples",
            ],
            "classes": [
                {"label": label, "material": {"name": name, "alias": label, "des": f"The {label} brews of the data."}}
                for label, name in (
                    ("Brasil", "Coffee, Brazil"),
                    ("Ethiopia", "Coffee, Ethiopia"),
                    ("Vietnam", "Coffee, Vietnam"),
                )
            ],
            "scores": "none",
            "training": {
                "data": "60 ATR-FTIR spectra of coffee (Ethiopia, Brasil, Vietnam), as chemotools ships them",
                "licence": "MIT",
            },
            "limits": [
                "A demonstration, no proof of origin: the three coffees were brewed differently, so the figures show "
                "that the brews separate, not that the origin does.",
                "One instrument, few brews: repeats of one brew stand in the training and in the held-out part, so "
                "another brew, instrument or day is not covered by the figures.",
                "The data has no wavenumbers: the 1,841 points must come in the same order from the same kind of "
                "instrument. A spectrum shifted by fewer than 8 points may pass (held-out ones: none wrongly).",
                "A bag of another origin that is brewed like one of the three is named wrongly.",
            ],
        },
    ),
)


@dataclass(frozen=True)
class Outcome:
    """How a model did on samples whose class is known."""

    samples: int
    correct: int
    wrong: int
    refused: int
    correct_unasked: int
    """Correct if nothing were refused."""

    @property
    def accuracy(self) -> float:
        return self.correct_unasked / self.samples

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.correct_unasked, self.samples)

    def shown(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "samples": self.samples,
            "answered_correctly": self.correct,
            "answered_wrongly": self.wrong,
            "refused": self.refused,
            "refusal_rate": round(self.refused / self.samples, 4),
            "accuracy_without_refusal": round(self.accuracy, 4),
            "interval_95": [round(low, 4), round(high, 4)],
        }


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a share."""
    share, square = hits / total, Z_95**2
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = Z_95 * math.sqrt(share * (1 - share) / total + square / (4 * total * total)) / (1 + square / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def outputs(model: bytes, rows: Iterable[np.ndarray], card: dict[str, Any]) -> list[dict[str, np.ndarray]]:
    """What the ONNX file gives for each sample, run as the node runs it."""
    runner = OnnxModel(model, read_card(json.dumps(card).encode()))
    return [{name: np.asarray(value) for name, value in runner.run(row).items()} for row in rows]


def is_told(found: dict[str, np.ndarray], bounds: dict[str, Bound]) -> bool:
    """Whether every measure is within its bound."""
    return all(bound.holds(float(found[name][0])) for name, bound in bounds.items())


def judged(found: list[dict[str, np.ndarray]], y: np.ndarray, bounds: dict[str, Bound]) -> Outcome:
    """Count answers that are right, wrong and refused."""
    right = np.array([int(np.argmax(one["scores"])) == wanted for one, wanted in zip(found, y, strict=True)])
    told = np.array([is_told(one, bounds) for one in found])
    return Outcome(len(y), int((right & told).sum()), int((~right & told).sum()), int((~told).sum()), int(right.sum()))


def draft(recipe: Recipe, samples: int) -> dict[str, Any]:
    """A card that measures everything and refuses nothing yet."""
    words = recipe.words
    return {
        "name": recipe.name,
        "version": 1,
        **words,
        "training": {**words["training"], "samples": samples},
        "reject": {name: {"least": -1e30} for name in (*recipe.quantiles, "margin")},
        "accuracy": {"method": "not measured yet"},
    }


def bounds_of(recipe: Recipe, train: Data) -> dict[str, Bound]:
    """The bounds, from samples of the training part that were left out in turn."""
    measured: dict[str, list[float]] = {name: [] for name in recipe.quantiles}
    for rows, rest in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(train.x, train.y):
        model = recipe.train(train.part(rows))
        for found in outputs(model, train.x[rest], draft(recipe, len(rows))):
            for name, values in measured.items():
                values.append(float(found[name][0]))
    bounds = {
        name: Bound(most=float(f"{np.quantile(measured[name], quantile):.6g}"))
        for name, quantile in recipe.quantiles.items()
    }
    return {**bounds, "margin": Bound(least=recipe.margin_least)}


def cross_validated(recipe: Recipe, data: Data) -> Outcome:
    """The whole recipe, bounds and all, on every sample in turn: five models, none of them the shipped one."""
    parts = []
    for rows, rest in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(data.x, data.y):
        train = data.part(rows)
        found = outputs(recipe.train(train), data.x[rest], draft(recipe, len(rows)))
        parts.append(judged(found, data.y[rest], bounds_of(recipe, train)))
    names = ("samples", "correct", "wrong", "refused", "correct_unasked")
    return Outcome(*(sum(getattr(part, name) for part in parts) for name in names))


def made(recipe: Recipe) -> tuple[bytes, dict[str, Any]]:
    """The model and its card."""
    data = recipe.data()
    train, held = data.split()
    model = recipe.train(train)
    bounds = bounds_of(recipe, train)
    card = draft(recipe, len(train.y))
    card["reject"] = {
        name: {k: v for k, v in (("least", b.least), ("most", b.most)) if math.isfinite(v)}
        for name, b in bounds.items()
    }
    outcome = judged(outputs(model, held.x, card), held.y, bounds)
    crossed = cross_validated(recipe, data)
    found = outputs(model, strangers(recipe.name, held.x), card)
    plausible = outputs(model, within_range(train.x), card)
    card["accuracy"] = {
        "method": "One third of the samples, drawn once by class, was held out and never trained on; the bounds of "
        "reject come from the training part alone. Beside it the whole recipe in 5-fold cross-validation. Intervals "
        "are Wilson's, 95 %.",
        "held_out": outcome.shown(),
        "cross_validation": crossed.shown(),
        "strangers": {
            "method": "noise, reversed, shifted and foreign inputs; every answer would be wrong",
            "samples": len(found),
            "answered": sum(is_told(one, bounds) for one in found),
        },
        "made_up_within_range": {
            "method": "each value drawn evenly between the least and the most of the training samples",
            "samples": len(plausible),
            "answered": sum(is_told(one, bounds) for one in plausible),
        },
    }
    card["sha256"] = hashlib.sha256(model).hexdigest()
    return model, card


def held_out(name: str) -> Data:
    """The samples that the shipped model has never seen."""
    recipe = next(one for one in RECIPES if one.name == name)
    return recipe.data().split()[1]


def within_range(x: np.ndarray) -> np.ndarray:
    """Made-up samples whose every value is in the range of genuine ones."""
    return np.random.default_rng(SEED).uniform(x.min(axis=0), x.max(axis=0), (PROBES, x.shape[1]))


def strangers(name: str, x: np.ndarray) -> np.ndarray:
    """PROBES inputs that are no such sample at all, made of noise, of genuine samples, and of other data."""
    random = np.random.default_rng(SEED)
    each = PROBES // 5
    rows = x[random.integers(0, len(x), each)]
    noise = random.normal(x.mean(), x.std(), (each, x.shape[1]))
    reversed_ = rows[:, ::-1]
    if name == "coffee-origin-demo":
        drift = random.normal(size=(each, x.shape[1])).cumsum(axis=1)
        shifted = np.stack([np.roll(row, random.choice([-1, 1]) * random.integers(8, 900)) for row in rows])
        return np.concatenate([noise, drift, reversed_, shifted, _fermentation(random, each, x.shape[1])])
    wide = random.uniform(0, x.max(axis=0) * 3, (each, x.shape[1]))
    sign = random.choice([-1, 1], (each, 1))
    shifted = np.concatenate([np.roll(rows[: each // 2], 1, axis=1), (rows + 5 * sign * x.std(axis=0))[each // 2 :]])
    foreign = load_breast_cancer().data[:each, : x.shape[1]]
    return np.concatenate([noise, wide, reversed_, shifted, foreign])


def _fermentation(random: np.random.Generator, total: int, length: int) -> np.ndarray:
    """Infrared spectra of a fermentation, stretched to the length."""
    folder = Path(chemotools.datasets.__file__).parent / "data"
    spectra = np.loadtxt(folder / "fermentation_spectra.csv", delimiter=",", skiprows=1)
    spectra = spectra[spectra.std(axis=1) > 0]
    rows = spectra[random.integers(0, len(spectra), total)]
    grid, points = np.linspace(0, 1, rows.shape[1]), np.linspace(0, 1, length)
    return np.stack([np.interp(points, grid, row) for row in rows])


def report(card: dict[str, Any]) -> None:
    """The figures, a line each."""
    accuracy = card["accuracy"]
    print(f"{card['name']} version {card['version']}")
    for part in ("held_out", "cross_validation"):
        r = accuracy[part]
        low, high = r["interval_95"]
        print(
            f"  {part.replace('_', ' '):17} accuracy {r['accuracy_without_refusal']:.4f} of {r['samples']} "
            f"(95 % {low:.4f} to {high:.4f}); with refusal: {r['answered_correctly']} correct, "
            f"{r['answered_wrongly']} wrong, {r['refused']} refused ({r['refusal_rate']:.1%})"
        )
    for part in ("strangers", "made_up_within_range"):
        r = accuracy[part]
        print(f"  {part.replace('_', ' '):17} {r['answered']} of {r['samples']} answered")


def differences(recipe: Recipe, model: bytes, card: dict[str, Any]) -> list[str]:
    """How the files that are there differ from a new training, beyond TOLERANCE."""
    folder = SHIPPED / recipe.name / "1"
    there = (folder / "model.onnx").read_bytes()
    known = json.loads((folder / "card.json").read_bytes())
    found = []
    if hashlib.sha256(there).hexdigest() != known.pop("sha256"):
        found.append("card.json: sha256 is not that of model.onnx")
    found += _unlike("card", known, {key: value for key, value in card.items() if key != "sha256"})
    one, other = onnx.load_from_string(there), onnx.load_from_string(model)
    for mine, theirs in zip(one.graph.initializer, other.graph.initializer, strict=True):
        a, b = numpy_helper.to_array(mine), numpy_helper.to_array(theirs)
        if a.shape != b.shape or np.max(np.abs(a - b)) > TOLERANCE * max(1.0, float(np.max(np.abs(a)))):
            found.append(f"model.onnx: {mine.name}")
    for graph in (one.graph, other.graph):
        del graph.initializer[:]
    if one != other:
        found.append("model.onnx: its operators")
    return found


def _unlike(at: str, one: Any, other: Any) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [line for key in one for line in _unlike(f"{at}.{key}", one[key], other[key])]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            line for key, pair in enumerate(zip(one, other, strict=True)) for line in _unlike(f"{at}[{key}]", *pair)
        ]
    if isinstance(one, float) and isinstance(other, float) and math.isclose(one, other, rel_tol=1e-5):
        return []  # a bound is rounded to six digits
    return [] if one == other else [f"card.json: {at}"]


def main(argv: list[str] | None = None) -> int:
    """Train, print, and write or compare."""
    parser = argparse.ArgumentParser(prog="python -m scripts.train_models", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 unless the files are as trained")
    check = parser.parse_args(argv).check
    wrong = []
    for recipe in RECIPES:
        model, card = made(recipe)
        report(card)
        folder = SHIPPED / recipe.name / "1"
        if check:
            wrong += [f"{recipe.name}: {line}" for line in differences(recipe, model, card)]
            continue
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(model)
        (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
