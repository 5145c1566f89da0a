"""A prediction as evidence: uploaded, predicted, recorded, and repeated by an auditor with a model of its own."""

from __future__ import annotations

import json
from typing import Any

from scripts import train_models
from tests.api.test_files import upload
from tests.models.test_shipped import written
from tests.support import people
from tests.support.node import RunningNode, eventually

MODEL = "wine-cultivar"


def _audit(node: RunningNode, goods_id: int, *more: str) -> Any:
    named = ("--node", node.ready["grpc"], "--rpc", node.rpc_url, "--contract", node.ready["contract"])
    return node.command("audit", *named, "--goods", str(goods_id), *more)


def test_an_auditor_repeats_the_prediction_in_an_exam(node: RunningNode) -> None:
    maker, judge = people.maker(node.client), people.examiner(node)
    eventually(lambda: all(model.state.value == "ready" for model in judge.call("ListModels").models))
    held = train_models.held_out(MODEL)
    data = written(MODEL, held.x[held.y == 0][0])
    material = judge.call("Predict", model_name=MODEL, data=data).material.name.value
    cid = upload(judge.client, judge.client.request("Upload", content=data)).rpartition("/")[2]
    honest, forged = maker.goods(2)
    for goods_id, named in ((honest, material), (forged, "Wine of cultivar 3")):
        claim = {"model": MODEL, "version": 1, "input": cid, "material": named}
        form = json.dumps({"prediction": claim, "sample": f"ipfs://{cid}"}).encode()
        judge.call("CreateCirc", goods_id=goods_id, circ_type=4, form_value=form)
        people.settled(node.client, goods_id)

    repeated = _audit(node, honest, "--predictions")
    assert repeated.returncode == 0, repeated.stdout + repeated.stderr
    assert "audit: 1 predictions run again" in repeated.stdout
    assert _audit(node, forged).returncode == 0
    caught = _audit(node, forged, "--predictions")
    assert caught.returncode == 1, caught.stdout + caught.stderr
    assert f"goods {forged}: circ" in caught.stdout
    assert "prediction differs: it names 'Wine of cultivar 3', the model sees 'Wine of cultivar 1'" in caught.stdout
