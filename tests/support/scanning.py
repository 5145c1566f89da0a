"""Readers who scan the codes of goods, and the org that asks what is unusual about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
import httpx

from node.wire.vtrace.v1 import scans_pb2 as wire
from tests.support.wire_client import Refusal, WireClient

PHONE = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36"
TIMEOUT_SECONDS = 30


def alerts(client: WireClient, offset: int = 0, limit: int = 0) -> list[Any]:
    """What ListScanAlerts answers; raises Refusal."""
    with grpc.insecure_channel(client.address) as channel:
        call = channel.unary_unary(
            "/vtrace.v1.VTraceScans/ListScanAlerts",
            request_serializer=wire.ListScanAlertsRequest.SerializeToString,
            response_deserializer=wire.ListScanAlertsResponse.FromString,
        )
        metadata = [("authorization", f"Bearer {client.token}")] if client.token is not None else []
        request = wire.ListScanAlertsRequest(offset=offset, limit=limit)
        try:
            return list(call(request, timeout=TIMEOUT_SECONDS, metadata=metadata).alerts)
        except grpc.RpcError as error:
            raise Refusal(error) from error


def read(site: str, goods_id: int, addresses: Iterable[str], **headers: str) -> None:
    """Readers behind a proxy that says their addresses, each opening the page once."""
    with httpx.Client(base_url=f"http://{site}", timeout=TIMEOUT_SECONDS, headers={"User-Agent": PHONE}) as phone:
        for address in addresses:
            own = {"X-Forwarded-For": address} | {name.replace("_", "-"): value for name, value in headers.items()}
            phone.get(f"/t/{goods_id}", headers=own).raise_for_status()
