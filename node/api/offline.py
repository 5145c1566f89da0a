"""rpcs of services that this node does not run."""

from __future__ import annotations

from typing import NoReturn

from node.domain.records import User
from node.errors import Reason, VTraceError
from node.wire.vtrace.v1 import service_pb2 as wire


class Offline:
    """Servicer that answers UNIMPLEMENTED with the reason SERVICE_OFFLINE."""

    failed = Reason.SERVICE_OFFLINE

    def ListMaterial(self, caller: User, _: wire.ListMaterialRequest) -> NoReturn:
        """There is no catalogue of materials here."""
        raise _offline("materials", caller)

    def ListModels(self, caller: User, _: wire.ListModelsRequest) -> NoReturn:
        """There are no models here."""
        raise _offline("models", caller)

    def Predict(self, caller: User, _: wire.PredictRequest) -> NoReturn:
        """There are no models here."""
        raise _offline("models", caller)


def _offline(service: str, caller: User) -> VTraceError:
    metadata = {"service": service, "username": caller.username}
    return VTraceError(Reason.SERVICE_OFFLINE, f"this node does not run the service of {service}", metadata=metadata)
