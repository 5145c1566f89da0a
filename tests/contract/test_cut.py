"""A cut fits a transaction pool in bytes as well as in gas."""

from __future__ import annotations

import pytest

from node.chain import contract, gas, signer
from node.chain.fees import Fees
from node.domain.model import Circ, CircType, ids_of, ranges_of

POOL_BYTES_MAX = 128 * 1024


@pytest.mark.parametrize("stride", range(1, 10))
@pytest.mark.parametrize("circ_type", CircType)
def test_every_transaction_of_the_largest_call_fits_a_pool(stride: int, circ_type: CircType) -> None:
    goods = range(2**31 - 1 - 10_000 * stride, 2**31 - 1, stride)
    groups = gas.cut(circ_type, ranges_of(goods), gas.GAS_MAX)
    assert [goods_id for group in groups for goods_id in ids_of(group)] == list(goods)
    for group in groups:
        circ = Circ(group, circ_type, 2**20 - 1, 2**20 - 1, b"\xff" * 32, 2**40)
        signed = signer.sign_transaction(
            b"\x01" * 32,
            chain_id=2**48,
            nonce=2**40,
            to="0x" + "11" * 20,
            data=contract.circulate_data(circ, b"\xff" * 65),
            gas=gas.circulate_gas(circ_type, group),
            fees=Fees(2**60, 2**60),
        )
        assert len(signed.raw) <= POOL_BYTES_MAX
        assert gas.circulate_gas(circ_type, group) <= gas.GAS_MAX
