"""Scans from the page to the org, over a node's ends and starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import people
from tests.support.node import RunningNode, eventually, running
from tests.support.people import Maker, Refusal
from tests.support.scanning import PHONE, alerts, read

OPTIONS = ("--trusted-proxies", "1", "--scan-place-header", "X-Country")


def test_a_list_of_ones_own_org(node: RunningNode) -> None:
    maker = people.maker(node.client)
    assert alerts(maker.boss.client) == []
    for offset, limit, field in ((-1, 0, "offset"), (0, 1_001, "limit"), (0, -1, "limit")):
        with pytest.raises(Refusal) as refused:
            alerts(maker.boss.client, offset, limit)
        assert (refused.value.status, refused.value.fields) == ("INVALID_ARGUMENT", [field])
    with pytest.raises(Refusal) as refused:
        alerts(people.transporter(node.client).client)
    assert refused.value.status == "PERMISSION_DENIED"


def test_a_copied_code(tmp_path: Path) -> None:
    with running(tmp_path / "d", *OPTIONS) as node:
        maker, other = people.maker(node.client), people.maker(node.client)
        goods, site = maker.goods(12), node.ready["http"]
        for goods_id in goods[1:]:
            read(site, goods_id, ["198.51.100.1", "198.51.100.2"], X_Country="CN")
        copied = [f"203.0.113.{number}" for number in range(150)]
        read(site, goods[0], copied[:140], X_Country="CN")
        read(site, goods[0], copied[140:], X_Country="DE")
        # None of these is another reader of these goods.
        read(site, goods[0], ["192.0.2.1"], User_Agent="Mozilla/5.0 (compatible; bingbot/2.0)")
        read(site, goods[0], ["192.0.2.2"], Sec_Purpose="prefetch")
        read(site, goods[0], ["192.0.2.3, 203.0.113.1"], X_Country="FR; DROP")
        with httpx.Client(base_url=f"http://{site}", headers={"User-Agent": PHONE}) as phone:
            phone.head(f"/t/{goods[0]}", headers={"X-Forwarded-For": "192.0.2.4"})
            phone.get(f"/t/{goods[0]}?lang=zh", headers={"X-Forwarded-For": "192.0.2.5"})
            assert phone.get("/t/999999", headers={"X-Forwarded-For": "192.0.2.6"}).status_code == 404
    with running(tmp_path / "d", *OPTIONS) as node:
        eventually(lambda: _alerts(node, maker))
        (alert,) = _alerts(node, maker)
        assert (alert.goods_id, alert.serial_id, alert.level) == (goods[0], maker.serial_id, "hint")
        assert (alert.scans, alert.readers, alert.places) == (151, 150, 2)
        assert (alert.usual_readers, alert.usual_places) == (2, 1)
        assert alert.since.seconds > 1_700_000_000
        assert _alerts(node, other) == []
        status = node.command("status", "--data-dir", str(node.data_dir))
        assert (
            "scans: 1 goods are scanned unlike their batch (ListScanAlerts), 1 of their pages say so" in status.stdout
        )
        site = f"http://{node.ready['http']}"
        assert "Scanned more often than others of its batch" in httpx.get(f"{site}/t/{goods[0]}").text
        assert "Scanned more often" not in httpx.get(f"{site}/t/{goods[1]}").text
        token = maker.boss.client.token
        listed = httpx.post(
            f"{site}/api/v1/scans/alert:list", json={"limit": 1}, headers={"Authorization": f"Bearer {token}"}
        )
        assert listed.json()["alerts"][0]["level"] == "hint"


def _alerts(node: RunningNode, maker: Maker) -> list[Any]:
    return alerts(node.client.with_token(maker.boss.client.token))
