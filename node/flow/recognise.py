"""Materials, and the models that recognise them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from node.clock import Clock
from node.domain import limits
from node.domain.recognition import Material, MaterialFacts, Model
from node.errors import Reason, VTraceError, invalid, not_found
from node.models.catalogue import Catalogue
from node.store import log, materials
from node.store.db import Store

MATERIALS_MAX = 10_000
MODEL_NAME_LENGTH_MAX = 80


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model with its id."""

    id: int
    model: Model


@dataclass(frozen=True, slots=True)
class KnownMaterial:
    """A material with the models that can recognise it, and what the one that did so found."""

    material: Material
    models: tuple[KnownModel, ...]
    seen_by: tuple[str, int] | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)


class Recognition:
    """What the rpcs about materials and models do."""

    def __init__(self, store: Store, catalogue: Catalogue, clock: Clock) -> None:
        """Give every model, and every material of a card, its id, at first sight and for good."""
        self._store = store
        self._catalogue = catalogue
        models = catalogue.models()
        with store.write():
            self._ids = materials.model_ids([(model.name, model.version) for model in models])
            facts = {one.name: one for model in models for one in model.materials}
            for one in facts.values():
                if materials.named(one.name) is None:
                    _add(one, clock)
            # A material never changes, so what a model can name is looked up once.
            self._of_cards = {one.facts.name: one for one in materials.all_materials() if one.facts.name in facts}

    def models(self) -> list[KnownModel]:
        """Every model, by name and version."""
        self._catalogue.await_loaded()
        return [KnownModel(self._ids[model.name, model.version], model) for model in self._catalogue.models()]

    def materials(self) -> list[KnownMaterial]:
        """Every material, by id, with its models."""
        by_name = self._by_material()
        with self._store.read():
            found = materials.all_materials()
        return [KnownMaterial(one, tuple(by_name.get(one.facts.name, ()))) for one in found]

    def predict(self, model_name: str, data: bytes) -> KnownMaterial:
        """The material that a model sees in ``data``."""
        if not 1 <= len(model_name) <= MODEL_NAME_LENGTH_MAX:
            raise invalid("model_name", model_name, "the name of a model, as ListModels shows it")
        self._catalogue.await_loaded()
        seen = self._catalogue.recognise(model_name, data)
        known = self._of_cards[seen.material.name]
        models = tuple(self._by_material()[known.facts.name])
        return KnownMaterial(known, models, (seen.model.name, seen.model.version), seen.evidence)

    def _by_material(self) -> dict[str, list[KnownModel]]:
        found: dict[str, list[KnownModel]] = {}
        for known in self.models():
            for name in dict.fromkeys(facts.name for facts in known.model.materials):
                found.setdefault(name, []).append(known)
        return found


def add_material(store: Store, name: str, alias: str, description: str, clock: Clock) -> int:
    """A material that an admin adds; answers its id."""
    facts = MaterialFacts(
        limits.name("name", name, Reason.INVALID_PARAMS, limits.LONG_NAME_LENGTH_MAX),
        limits.optional_name("alias", alias, Reason.INVALID_PARAMS, limits.LONG_NAME_LENGTH_MAX),
        limits.text("des", description.encode(), Reason.INVALID_PARAMS).decode(),
    )
    with store.write():
        known = materials.named(facts.name)
        if known is not None:
            raise VTraceError(
                Reason.ENTRY_DUPLICATE,
                f"the material {name} is there already, with the id {known.id}",
                metadata={"name": name},
            )
        added = _add(facts, clock)
        log.note_command(clock, "admin material add", {"material": added})
        return added


def check_material(material_id: int) -> int:
    """0 (none) or the id of a material (inside ``Store.write()``)."""
    if material_id and not materials.exists(material_id):
        raise not_found(Reason.MATERIAL_NOT_FOUND, "material_id", material_id)
    return material_id


def _add(facts: MaterialFacts, clock: Clock) -> int:
    if materials.count() >= MATERIALS_MAX:
        raise VTraceError(Reason.PERMISSION_DENIED, f"there are {MATERIALS_MAX} materials already, and no more fit")
    return materials.add(facts, clock())
