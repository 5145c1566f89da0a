"""Keys that the node does not hold, on the embedded chain: recorded, restarted, audited and proved."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from node.chain import signer
from tests.support import people
from tests.support.node import RunningNode, running, vtrace
from tests.support.own_key import Partner, circ, with_key
from tests.support.people import Refusal

KEY = bytes([91]) * 32


def _checked(node: RunningNode, goods_id: int, folder: Path) -> None:
    where = ["--node", node.ready["grpc"], "--rpc", node.rpc_url, "--contract", node.ready["contract"]]
    audited = vtrace("audit", *where, "--all")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    proved = vtrace("proof", str(goods_id), *where)
    assert proved.returncode == 0, proved.stderr
    file = folder / "goods.vtproof.json"
    file.write_text(proved.stdout)
    verified = vtrace("proof", "verify", str(file), "--rpc", node.rpc_url)
    assert (verified.returncode, f"signed by {signer.address_of(KEY)}" in verified.stdout) == (0, True)


def test_a_partner_with_its_own_key(tmp_path: Path) -> None:
    with running(tmp_path / "d") as node:
        maker = people.maker(node.client)
        own = Partner(people.transporter(node.client), signer.address_of(KEY), with_key(KEY))
        (goods_id,) = maker.goods(1)
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=3, to=own.person.username)
        with pytest.raises(Refusal, match="signature of account"):
            own.set_account(bytes(64) + b"\x1b")
        own.set_account()
        own.record(circ(goods_id))
        people.settled(node.client, goods_id)
    with running(tmp_path / "d") as node, closing(own):
        own.move_to(node.ready["grpc"])
        own.record(circ(goods_id, form=b'{"after": "a restart"}'))
        with pytest.raises(Refusal, match="keeps its own key"):
            own.send(circ(goods_id))
        records = people.settled(node.client, goods_id)
        assert [one.status.value for one in records] == ["success"] * 4
        _checked(node, goods_id, tmp_path)
