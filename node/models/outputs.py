"""What a model gave, held to its card."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from node.models.runner import SCORES, ModelFault, Numbers


def held(outputs: Mapping[str, Numbers], classes: int, measures: frozenset[str]) -> Mapping[str, Numbers]:
    """Outputs, each flat and of the size that the card says; ModelFault otherwise."""
    flat = {name: np.asarray(value, np.float64).reshape(-1) for name, value in outputs.items()}
    for name, size in {SCORES: classes, **dict.fromkeys(measures, 1)}.items():
        if name not in flat or flat[name].size != size:
            found = f"{flat[name].size} values" if name in flat else "nothing"
            raise ModelFault(f"its output {name} has {found}, the card says {size}")
    return flat
