"""Materials, and the models that recognise them, as the rest of the house sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class ModelState(StrEnum):
    """Whether a model can answer now."""

    READY = "ready"
    LOADING = "loading"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class MaterialFacts:
    """What a model card or an admin says of a material; the name tells materials apart."""

    name: str
    alias: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Material:
    """A material of the index."""

    id: int
    facts: MaterialFacts


@dataclass(frozen=True, slots=True)
class Model:
    """One version of a model. ``metadata`` is what its card says, as JSON values; ``reason`` why it can't answer."""

    name: str
    version: int
    state: ModelState
    description: str
    materials: tuple[MaterialFacts, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a model saw: a material of its card, and what it measured on the way."""

    model: Model
    material: MaterialFacts
    evidence: Mapping[str, object]
