"""What runs a model: the promise that the local and the remote ones keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SCORES = "scores"
RUN_SECONDS_MAX = 2.0

Numbers = NDArray[np.float64]


class ModelFault(Exception):
    """The model can't be used as its card says; the message says why."""


class ModelTimeout(Exception):
    """The model gave no answer in time."""


class ModelBusy(Exception):
    """The model can't take the call now; later it may."""


class ModelDown(Exception):
    """Whatever runs the model does not answer; later it may."""


class Runner(Protocol):
    """One model, ready to answer. Several threads may call ``run`` at once."""

    @property
    def fault(self) -> str:
        """Why it can't answer just now; empty when nothing is known against it."""
        ...

    def run(self, values: Numbers) -> Mapping[str, Numbers]:
        """``scores``, one a class, and each measure that the card's reject rule names, one number each.

        Raises ModelFault, ModelTimeout, ModelBusy or ModelDown, and nothing else.
        """
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


def held(outputs: Mapping[str, Numbers], classes: int, measures: frozenset[str]) -> Mapping[str, Numbers]:
    """Outputs, each flat and of the size that the card says; ModelFault otherwise."""
    flat = {name: np.asarray(value, np.float64).reshape(-1) for name, value in outputs.items()}
    for name, size in {SCORES: classes, **dict.fromkeys(measures, 1)}.items():
        if name not in flat or flat[name].size != size:
            found = f"{flat[name].size} values" if name in flat else "nothing"
            raise ModelFault(f"its output {name} has {found}, the card says {size}")
    return flat
