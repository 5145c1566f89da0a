"""The rpc of labels."""

from __future__ import annotations

from node.api import convert
from node.domain.records import User
from node.errors import Reason
from node.flow.labels import Labelling
from node.wire.vtrace.v1 import service_pb2 as wire


class LabelsServicer:
    """Servicer of VTraceLabels."""

    failed = Reason.GOODS_CREATE_FAILED

    def __init__(self, labelling: Labelling) -> None:
        self._labelling = labelling

    def ListLabels(self, caller: User, request: wire.ListLabelsRequest) -> wire.ListLabelsResponse:
        """What the labels of a serial say."""
        found = self._labelling.of_serial(caller, request.serial_id, request.first, request.limit)
        return wire.ListLabelsResponse(
            class_name=found.class_name,
            org_name=found.org_name,
            product_time=convert.timestamp(found.product_time),
            gtin=found.gtin or "",
            total=found.total,
            labels=[wire.Label(goods_id=goods_id, address=address) for goods_id, address in found.labels],
        )
