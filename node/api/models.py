"""rpcs of materials and models."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value

from node.api import convert
from node.domain.records import User
from node.errors import Reason
from node.flow.recognise import KnownMaterial, KnownModel, Recognition
from node.wire.algo.v1 import algo_pb2 as algo
from node.wire.vtrace.v1 import service_pb2 as wire


class Models:
    """Servicer of the rpcs about materials and models."""

    failed = Reason.MODEL_PREDICT_FAILED

    def __init__(self, recognition: Recognition) -> None:
        self._recognition = recognition

    def ListMaterial(self, _: User, __: wire.ListMaterialRequest) -> wire.ListMaterialResponse:
        """Every material, with the models that can recognise it."""
        return wire.ListMaterialResponse(materials=[_material(one) for one in self._recognition.materials()])

    def ListModels(self, _: User, __: wire.ListModelsRequest) -> wire.ListModelsResponse:
        """Every model, with what its card says."""
        found = self._recognition.models()
        return wire.ListModelsResponse(models=[_model(one, _card(one)) for one in found])

    def Predict(self, _: User, request: wire.PredictRequest) -> wire.PredictResponse:
        """The material that a model sees in data."""
        return wire.PredictResponse(material=_material(self._recognition.predict(request.model_name, request.data)))


def _material(known: KnownMaterial) -> algo.Material:
    """A material; of its models only what tells them apart, and what the one that saw it found."""
    models = []
    for one in known.models:
        did_see = known.seen_by == (one.model.name, one.model.version)
        models.append(_model(one, {"prediction": known.evidence} if did_see else {}))
    facts = known.material.facts
    return algo.Material(
        id=convert.number(known.material.id),
        name=convert.text(facts.name),
        alias=convert.text(facts.alias),
        des=convert.text(facts.description),
        available_models=models,
    )


def _card(known: KnownModel) -> Mapping[str, object]:
    return {**known.model.metadata, **({"reason": known.model.reason} if known.model.reason else {})}


def _model(known: KnownModel, metadata: Mapping[str, object]) -> algo.Model:
    model = known.model
    return algo.Model(
        ID=convert.number(known.id),
        name=convert.text(model.name),
        version=convert.number(model.version),
        state=convert.text(model.state.value),
        des=convert.text(model.description),
        metadata={name: json_format.ParseDict(value, Value()) for name, value in metadata.items()},
    )
