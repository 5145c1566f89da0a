"""What runs a model: the promise that the local and the remote ones keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL_BYTES_MAX = 64 * 1024 * 1024
SCORES = "scores"
RUN_SECONDS_MAX = 2.0

Numbers: TypeAlias = "NDArray[np.float64]"


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
