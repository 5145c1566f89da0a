"""rpcs of services that this node does not run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from node.domain.records import User
from node.errors import Reason, VTraceError
from node.wire.vtrace.v1 import service_pb2 as wire


class Offline:
    """Servicer that answers UNIMPLEMENTED with the reason SERVICE_OFFLINE."""

    failed = Reason.SERVICE_OFFLINE

    def Upload(self, caller: User, _: Iterator[wire.UploadRequest]) -> NoReturn:
        """Files are not kept here."""
        raise _offline("files", caller)


def _offline(service: str, caller: User) -> VTraceError:
    metadata = {"service": service, "username": caller.username}
    return VTraceError(Reason.SERVICE_OFFLINE, f"this node does not run the service of {service}", metadata=metadata)
