"""The rpc of scans."""

from __future__ import annotations

from node.api import convert
from node.api.paged import place_of
from node.domain.records import User
from node.domain.scans import Alert
from node.errors import Reason
from node.flow.scans import Scans
from node.wire.vtrace.v1 import scans_pb2 as wire


class ScansServicer:
    """Servicer of VTraceScans."""

    failed = Reason.GOODS_CREATE_FAILED

    def __init__(self, scans: Scans) -> None:
        self._scans = scans

    def ListScanAlerts(self, caller: User, request: wire.ListScanAlertsRequest) -> wire.ListScanAlertsResponse:
        """The unusual goods of the caller's org."""
        found, following = self._scans.alerts(caller, place_of(request))
        return wire.ListScanAlertsResponse(alerts=[_alert(one) for one in found], next_page_token=following)


def _alert(alert: Alert) -> wire.ScanAlert:
    unusual = alert.unusual
    return wire.ScanAlert(
        goods_id=unusual.counts.goods_id,
        serial_id=alert.serial_id,
        level=unusual.level.value,
        scans=unusual.counts.scans,
        readers=unusual.counts.readers,
        places=unusual.counts.places,
        usual_readers=unusual.usual_readers,
        usual_places=unusual.usual_places,
        since=convert.timestamp(alert.since),
    )
