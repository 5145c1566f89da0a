"""Goods named by a private URN."""

from __future__ import annotations

import pytest

from node.domain.epcis.ids import Epc, base_of, goods_of

CONTRACT = "0x2F9337714557D6c2B4d03dd64f72D378c6f061C9"
BASE = base_of(31337, CONTRACT)


@pytest.mark.parametrize("contract", [CONTRACT, CONTRACT.lower()])
def test_the_contract_may_be_written_with_its_checksum(contract: str) -> None:
    assert goods_of(f"urn:vtrace:31337:{contract}:obj:7", BASE) == Epc(7, None, None)


@pytest.mark.parametrize("epc", [f"urn:vtrace:1:{CONTRACT}:obj:7", f"{BASE}:obj:", f"{BASE}:OBJ:x", f"{BASE}:lot:7"])
def test_what_is_no_goods_of_this_contract_is_refused(epc: str) -> None:
    with pytest.raises(ValueError, match="want"):
        goods_of(epc, BASE)
