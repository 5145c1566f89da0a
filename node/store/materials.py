"""Materials and the ids of models in the index. Writers run inside ``Store.write()``."""

from __future__ import annotations

from collections.abc import Iterable

from node.domain.recognition import Material, MaterialFacts
from node.store import tables as t


def add(facts: MaterialFacts, now: int) -> int:
    """A new material; answers its id."""
    made = t.Material.create(name=facts.name, other_name=facts.alias, description=facts.description, created_at=now)
    return int(made.id)


def named(name: str) -> Material | None:
    """The material with this name."""
    row = t.Material.select().where(t.Material.name == name).first()
    return _material(row) if row else None


def exists(material_id: int) -> bool:
    """Whether there is a material with this id."""
    return bool(t.Material.select(t.Material.id).where(t.Material.id == material_id).exists())


def count() -> int:
    """How many materials there are."""
    return int(t.Material.select().count())


def all_materials() -> list[Material]:
    """Every material, by id."""
    return [_material(row) for row in t.Material.select().order_by(t.Material.id)]


def model_ids(keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """The id of each name and version, given now to those that have none."""
    fields = (t.RecognitionModel.name, t.RecognitionModel.version, t.RecognitionModel.id)
    known = {(name, version): number for name, version, number in t.tuples(t.RecognitionModel.select(*fields))}
    for name, version in keys:
        if (name, version) not in known:
            known[name, version] = t.RecognitionModel.create(name=name, version=version).id
    return known


def _material(row: t.Material) -> Material:
    return Material(row.id, MaterialFacts(row.name, row.other_name, row.description))
