"""Materials and models over the wire: who sees them, what they say, and that ids stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts import train_models
from tests.models import make
from tests.models.test_shipped import written
from tests.support import people
from tests.support.node import RunningNode, eventually, running, vtrace
from tests.support.people import Person
from tests.support.wire_client import Refusal


@pytest.fixture(scope="module")
def examiner(node: RunningNode) -> Person:
    made = people.examiner(node)
    eventually(lambda: all(model.state.value == "ready" for model in made.call("ListModels").models))
    return made


def _refused(person: Person, rpc: str, **fields: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        person.call(rpc, **fields)
    return refused.value


def _materials(person: Person) -> dict[str, Any]:
    return {one.name.value: one for one in person.call("ListMaterial").materials}


def test_models_are_listed_with_what_their_cards_say(examiner: Person) -> None:
    models = {model.name.value: model for model in examiner.call("ListModels").models}
    assert models.keys() == {"wine-cultivar", "coffee-origin-demo"}
    coffee = models["coffee-origin-demo"]
    assert (coffee.version.value, coffee.state.value) == (1, "ready")
    assert coffee.ID.value >= 1
    assert "demonstration" in coffee.des.value
    entries = coffee.metadata
    assert entries["input"].struct_value["length"] == 1841
    assert entries["training"].struct_value["licence"] == "MIT"
    assert "brewed differently" in entries["limits"].list_value[0]
    assert entries["accuracy"].struct_value["held_out"]["samples"] == 20


def test_materials_are_listed_with_the_models_that_recognise_them(node: RunningNode, examiner: Person) -> None:
    maker = people.maker(node.client)
    found = maker.boss.call("ListMaterial").materials
    assert [one.id.value for one in found] == sorted(one.id.value for one in found)
    brazil = {one.name.value: one for one in found}["Coffee, Brazil"]
    assert brazil.alias.value == "Brasil"
    (model,) = brazil.available_models
    assert (model.name.value, model.version.value, len(model.metadata)) == ("coffee-origin-demo", 1, 0)
    assert _refused(examiner, "ListMaterial").status == "PERMISSION_DENIED"


def test_predict_answers_the_material(examiner: Person) -> None:
    for name, material in (("wine-cultivar", "Wine of cultivar 1"), ("coffee-origin-demo", "Coffee, Brazil")):
        held = train_models.held_out(name)
        row = held.x[held.y == 0][0]
        answer = examiner.call("Predict", model_name=name, data=written(name, row)).material
        assert answer.name.value == material
        assert answer.id.value >= 1
        (model,) = answer.available_models
        evidence = model.metadata["prediction"].struct_value
        assert evidence["label"] == held.labels[0]
        assert ("probability" in evidence) == (name == "wine-cultivar")


def _files(node: RunningNode) -> list[Path]:
    return sorted(path for path in node.data_dir.rglob("*") if "sqlite3-" not in path.name)


def test_predict_refuses_in_words_and_writes_nothing(examiner: Person, node: RunningNode) -> None:
    before = _files(node)

    def predict(name: str, data: bytes) -> Refusal:
        return _refused(examiner, "Predict", model_name=name, data=data)

    strange = predict("coffee-origin-demo", b"\n".join(b"%d" % (n % 7) for n in range(1841)))
    assert (strange.status, strange.reason) == ("NOT_FOUND", "PREDICT_RESULT_UNAVAILABLE")
    assert "cannot be told" in strange.message
    unknown = predict("nobody", b"1")
    assert (unknown.status, unknown.reason, unknown.domain) == ("NOT_FOUND", "MODEL_NOT_FOUND", "algo.v1")
    short = predict("coffee-origin-demo", b"1\n2\n3")
    assert (short.status, short.fields) == ("INVALID_ARGUMENT", ["data"])
    assert "exactly 1841 points" in short.message
    for data in (b"", b"1\n" * 500_000, b'{"alcohol": NaN}'):
        assert predict("wine-cultivar", data).status == "INVALID_ARGUMENT"
    assert predict("x" * 1_000, b"1").fields == ["model_name"]
    assert predict("wine-cultivar", b"1" * 5_000_000).status == "RESOURCE_EXHAUSTED"
    declared = b"##TITLE=a\n##FIRSTX=1\n##LASTX=2\n##NPOINTS=1000000000\n##XYDATA=(X++(Y..Y))\n1 2 3\n##END=\n"
    assert "##NPOINTS=1000000000" in predict("coffee-origin-demo", declared).message
    assert _files(node) == before
    producer = people.maker(node.client).boss
    assert _refused(producer, "Predict", model_name="wine-cultivar").status == "PERMISSION_DENIED"


def test_a_class_names_a_material_that_is_there(node: RunningNode) -> None:
    maker = people.maker(node.client)
    coffee = _materials(maker.boss)["Coffee, Ethiopia"].id.value
    made = maker.boss.call("CreateGoodsClass", goods_name="a", material_id=coffee).class_id.value
    wrong = {"class": {"ID": made, "material_id": 999_999}}
    refusal = _refused(maker.boss, "UpdateClass", **wrong)
    assert (refusal.status, refusal.reason) == ("NOT_FOUND", "MATERIAL_NOT_FOUND")
    maker.boss.call("UpdateClass", **{"class": {"ID": made, "material_id": 0}})
    (shown,) = [one for one in maker.boss.call("ListClass").goods_classes if one.ID.value == made]
    assert shown.material_id.value == 0


def test_an_admin_adds_a_material_beside_a_running_node(node: RunningNode) -> None:
    def add(*args: str) -> Any:
        return vtrace("admin", "material", "add", *args, "--data-dir", str(node.data_dir))

    done = add("Pu-erh tea", "--alias", "普洱茶", "--des", "fermented")
    assert done.returncode == 0, done.stderr
    maker = people.maker(node.client)
    tea = _materials(maker.boss)["Pu-erh tea"]
    assert (tea.id.value, tea.alias.value, tea.des.value) == (int(done.stdout), "普洱茶", "fermented")
    assert len(tea.available_models) == 0
    maker.boss.call("CreateGoodsClass", goods_name="cake", material_id=tea.id.value)
    again = add("Pu-erh tea")
    assert again.returncode == 1
    assert f"is there already, with the id {tea.id.value}" in again.stderr
    assert add("").returncode == 1


def test_own_models_stand_beside_the_shipped_and_ids_stay(tmp_path: Path) -> None:
    folder = make.put(tmp_path / "models")
    make.put(folder, make.card(name="broken"), model=b"no model")
    data_dir = tmp_path / "data"

    def look() -> tuple[dict[str, Any], dict[str, int]]:
        def settled() -> Any:
            found = person.call("ListModels").models
            return found if all(one.state.value != "loading" for one in found) else None

        models = {one.name.value: one for one in eventually(settled)}
        ids = {one.name.value: one.id.value for one in maker.boss.call("ListMaterial").materials}
        return models, ids

    with running(data_dir, "--models", str(folder)) as node:
        person, maker = people.examiner(node), people.maker(node.client)
        phone = person.phone, maker.boss.phone
        models, ids = look()
        assert models["tiny"].state.value == "ready"
        assert models["broken"].state.value == "unavailable"
        assert "can't be loaded" in models["broken"].metadata["reason"].string_value
        assert person.call("Predict", model_name="tiny", data=b"2\n1\n5").material.name.value == "First"
        refusal = _refused(person, "Predict", model_name="broken", data=b"2\n1\n5")
        assert (refusal.status, refusal.reason) == ("FAILED_PRECONDITION", "MODEL_PREDICT_FAILED")
    (folder / "tiny/1/card.json").write_text(json.dumps(make.card(description="new", version=1)))
    make.put(folder, make.card(name="another"))
    with running(data_dir, "--models", str(folder)) as node:
        for one, number in zip((person, maker.boss), phone, strict=True):
            token = node.client.call("Token", phone=number, password=people.PASSWORD).token
            one.client = node.client.with_token(token)
        again, same = look()
        assert same == ids
        assert {name: again[name].ID.value for name in models} == {name: models[name].ID.value for name in models}
        assert again["another"].ID.value not in {one.ID.value for one in models.values()}
        assert again["tiny"].des.value == "new"
        first = _materials(maker.boss)["First"]
        assert [one.name.value for one in first.available_models] == ["another", "broken", "tiny"]
