"""A small world to audit: the contract on the embedded chain, some circs, and a view that shows them honestly.

Lies are made of it by ``View.change`` and by ``Tampered``, which stands between a chain and who asks it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from node.chain import contract, signer
from node.chain.embedded import EmbeddedChain
from node.chain.fees import Fees
from node.chain.gas import DEPLOY_GAS
from node.chain.rpc import Chain, Receipt
from node.chain.transport import Call, JsonRpc
from node.clock import now_micros
from node.domain.form import (
    ProducedClass,
    ProducedOrg,
    ProducedSerial,
    ProduceForm,
    form_digest,
    name_digest,
)
from node.domain.model import Circ, CircType, Rights, ranges_of
from node.flow.audit import ShownCirc, ShownClass, ShownGoods, ShownSerial
from tests.chain.echo import mined

PRODUCE, PROCESS, TRANSFER, EXAM = CircType.PRODUCE, CircType.PROCESS, CircType.TRANSFER, CircType.EXAM
CALL_GAS = 600_000
FEE_PER_GAS = 100
PRODUCT_TIME = 1_760_000_000_123_456
FORM = ProduceForm(
    ProducedClass(3, "Yunnan Catimor", "washed\n咖啡", "Old Peak", 11),
    ProducedSerial(5, "2025-10-09T08:53:20.123456Z"),
    ProducedOrg(2, "Baoshan Cooperative", "91530500MA6K00000X"),
)
CLASS = ShownClass(3, "Yunnan Catimor", "washed\n咖啡".encode(), "Old Peak", 11, 2)
SERIAL = ShownSerial(5, PRODUCT_TIME)
# A contract that finds every signature valid (EIP-1271), behind the code that creates it.
ANY_SIGNATURE = bytes.fromhex("631626ba7e60e01b60005260206000f3")
WALLET = bytes.fromhex("6010600c60003960106000f3") + ANY_SIGNATURE
# A contract that calls the address in its calldata's first word with the rest of its calldata.
RELAY = bytes.fromhex("6022600c60003960226000f3") + bytes.fromhex(
    "602036038060206000376000600082600060006000355af160205760006000fd5b00"
)
# A contract that calls the address in its calldata's first word with so many bytes as the second says, and then emits a
# log of its own: four topics and the data are the rest of its calldata.
FORGER = bytes.fromhex("603d600c600039603d6000f3") + bytes.fromhex(
    "6020358060406000376000600082600060006000355af15060400180608001803603808260"
    "00378260600135836040013584602001358535846000a400"
)


class View:
    """A node that shows what it was told. ``asked`` counts the questions."""

    def __init__(self, goods: dict[int, ShownGoods] | None = None) -> None:
        self.goods = dict(goods or {})
        self.asked = 0

    def history(self, goods_id: int) -> ShownGoods | None:
        self.asked += 1
        return self.goods.get(goods_id)

    def copy(self) -> View:
        return View(self.goods)

    def add(self, goods_id: int, circ: ShownCirc) -> None:
        known = self.goods.get(goods_id) or ShownGoods(goods_id, CLASS, SERIAL, (), circ.operator)
        self.goods[goods_id] = replace(known, circs=(*known.circs, replace(circ, goods_id=goods_id)))

    def circs(self, goods_id: int) -> list[ShownCirc]:
        return list(self.goods[goods_id].circs)

    def show(self, goods_id: int, circs: Sequence[ShownCirc]) -> None:
        """Show other circs of goods."""
        self.goods[goods_id] = replace(self.goods[goods_id], circs=tuple(circs))

    def change(self, goods_id: int, index: int, /, **changes: Any) -> None:
        """Show one circ of goods otherwise."""
        circs = self.circs(goods_id)
        circs[index] = replace(circs[index], **changes)
        self.show(goods_id, circs)


class World:
    """A chain with the contract. ``view`` is what an honest node shows of it."""

    def __init__(self, rpc: JsonRpc, key: bytes, fee_per_gas: int = FEE_PER_GAS) -> None:
        self.rpc = rpc
        self._fee_per_gas = fee_per_gas
        self.chain = Chain(rpc)
        self.chain_id = self.chain.chain_id()
        self._key = key
        self._nonce = 0
        self._keys: dict[str, bytes] = {}
        self._numbers: dict[str, int] = {}
        self.view = View()
        self.address = self.deploy()
        self.lookalike: ShownCirc | None = None
        self.last_data = b""
        self.last_times: list[int] = []

    def deploy(self) -> str:
        me = signer.address_of(self._key)
        created = self.send(None, contract.deploy_data(me, me), gas=DEPLOY_GAS).contract_address
        assert created is not None
        return created

    def sign(self, to: str | None, data: bytes, gas: int = CALL_GAS, value: int = 0) -> signer.SignedTransaction:
        self._nonce += 1
        return self._sign(self._key, self._nonce - 1, to, data, gas, value)

    def _sign(
        self, key: bytes, nonce: int, to: str | None, data: bytes, gas: int, value: int = 0
    ) -> signer.SignedTransaction:
        fees = Fees(self._fee_per_gas, 0)
        return signer.sign_transaction(
            key, chain_id=self.chain_id, nonce=nonce, to=to, data=data, gas=gas, fees=fees, value=value
        )

    def send(self, to: str | None, data: bytes, gas: int = CALL_GAS) -> Receipt:
        signed = self.sign(to, data, gas)
        return self.deliver(signed)

    def deliver(self, signed: signer.SignedTransaction) -> Receipt:
        assert self.chain.send([signed.raw]) == [None]
        (receipt,) = mined(self.chain, [signed.hash])
        return receipt

    def register(self, name: str, rights: Rights, account: str | None = None) -> None:
        self._keys[name] = signer.new_key()
        account = account or signer.address_of(self._keys[name])
        receipt = self.send(self.address, contract.register_actor_data(account, rights, name_digest(name)))
        assert receipt.status
        self._numbers[name] = len(self._numbers) + 1

    def set_rights(self, name: str, rights: Rights) -> None:
        assert self.send(self.address, contract.set_rights_data(self._numbers[name], rights)).status

    def change_key(self, name: str) -> None:
        self._keys[name] = signer.new_key()
        account = signer.address_of(self._keys[name])
        assert self.send(self.address, contract.set_account_data(self._numbers[name], account)).status

    def make_sovereign(self, name: str) -> bytes:
        """From now on the actor holds its own key, which is answered."""
        key = signer.new_key()
        actor, account = self._numbers[name], signer.address_of(key)
        possession = signer.sign_digest(key, contract.account_digest(self.chain_id, self.address, actor, account))
        assert self.send(self.address, contract.set_account_data(actor, account, possession)).status
        self._keys[name] = key
        return key

    def holder(self, goods_id: int) -> str:
        """The name of the actor who holds goods."""
        number, _ = contract.decode_goods_of(self.chain.call(self.address, contract.goods_of_data(goods_id)))
        return next(name for name, each in self._numbers.items() if each == number)

    def send_as(self, key: bytes, data: bytes) -> Receipt:
        """The first transaction of an account of its own, to the contract."""
        assert self.deliver(self.sign(signer.address_of(key), b"", 21_000, CALL_GAS * self._fee_per_gas)).status
        return self.deliver(self._sign(key, 0, self.address, data, CALL_GAS))

    def on_lookalike(self, goods_id: int, operator: str) -> ShownCirc:
        """A produce circ that another contract of the same code took."""
        ours, self.address = self.address, self.deploy()
        number = self._numbers[operator]
        for name in list(self._numbers)[:number]:
            account = signer.address_of(self._keys[name])
            data = contract.register_actor_data(account, Rights.CIRCULATE | Rights.PRODUCE, name_digest(name))
            assert self.send(self.address, data).status
        signed, shown = self.prepare([goods_id], PRODUCE, operator)
        assert self.deliver(signed).status
        self.address = ours
        return replace(shown, tx_hash=signed.hash, status="success")

    def forget(self) -> None:
        """The transaction that was signed last is never sent: another takes its nonce."""
        self._nonce -= 1

    def times(self, goods_id: int) -> int:
        return contract.decode_goods_of(self.chain.call(self.address, contract.goods_of_data(goods_id)))[1]

    def signature(self, operator: str, circ: Circ) -> bytes:
        """The signature of the operator's present key over a circ."""
        return signer.sign_digest(self._keys[operator], contract.circ_digest(self.chain_id, self.address, circ))

    def prepare(
        self, goods: Sequence[int], kind: CircType, operator: str, to: str = "", form: bytes = b"", later: int = 0
    ) -> tuple[signer.SignedTransaction, ShownCirc]:
        """A signed circ and how it is shown while it waits. ``later`` circs of each of the goods wait before it."""
        salt = secrets.token_bytes(16)
        times = self.last_times = [self.times(goods_id) + later for goods_id in goods]
        on_chain = Circ(
            ranges_of(goods),
            kind,
            self._numbers[operator],
            self._numbers[to or operator],
            form_digest(salt, form),
            sum(times),
        )
        self.last_data = contract.circulate_data(on_chain, self.signature(operator, on_chain))
        signed = self.sign(self.address, self.last_data)
        shown = ShownCirc(
            goods_id=goods[0],
            circ_type=int(kind),
            operator=operator,
            origin=operator,
            to=to or operator,
            form=form,
            salt=salt,
            trans_id=signed.hash,
            tx_hash=None,
            times=times[0],
            status="pending",
            recorded_at=now_micros(),
        )
        return signed, shown

    def copied(
        self, goods_id: int, kind: CircType, operator: str, *, through: str | None = None, later: bool = True
    ) -> ShownCirc:
        """A circ whose calldata a stranger copied and had mined first, maybe ``through`` a relay; shown honestly.

        The node's own transaction is reverted afterwards, or with ``later`` False never mined.
        """
        self._nonce += 1
        own, shown = self.prepare([goods_id], kind, operator, form=b'{"copied": true}')
        self._nonce -= 2
        if through is None:
            copy = self.sign(self.address, self.last_data, CALL_GAS + 1)
        else:
            copy = self.sign(through, bytes(12) + bytes.fromhex(self.address[2:]) + self.last_data)
        assert self.deliver(copy).status
        if later:
            self._nonce += 1
            assert not self.deliver(own).status
        settled = replace(shown, tx_hash=copy.hash, status="success")
        self.view.add(goods_id, settled)
        return settled

    def circulate(
        self, goods: Sequence[int], kind: CircType, operator: str, to: str = "", form: bytes = b""
    ) -> ShownCirc:
        """Record a circ, and show it: as failed if the contract refused it."""
        signed, shown = self.prepare(goods, kind, operator, to, form)
        receipt = self.deliver(signed)
        settled = replace(shown, tx_hash=signed.hash, status="success" if receipt.status else "failed")
        for goods_id, times in zip(goods, self.last_times, strict=True):
            self.view.add(goods_id, replace(settled, times=times if receipt.status else None))
        return settled if receipt.status else replace(settled, times=None)


@contextmanager
def new_world(folder: Path) -> Iterator[World]:
    """A world of its own, with four actors and no circs."""
    key = signer.new_key()
    rpc = EmbeddedChain(folder / "chain.db", funded=signer.address_of(key))
    try:
        world = World(rpc, key)
        world.register("coop", Rights.CIRCULATE | Rights.PRODUCE)
        world.register("exporter", Rights.CIRCULATE)
        world.register("roaster", Rights.CIRCULATE)
        world.register("grader", Rights.CIRCULATE | Rights.EXAMINE)
        yield world
    finally:
        rpc.close()


class Tampered:
    """A chain whose answers are changed on their way by ``change(method, params, answer)``. Counts requests."""

    def __init__(self, rpc: JsonRpc, change: Callable[[str, list[Any], Any], Any] | None = None) -> None:
        self._rpc = rpc
        self._change = change or (lambda _method, _params, answer: answer)
        self.requests: list[list[str]] = []

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        if calls:
            self.requests.append([method for method, _ in calls])
        answers = self._rpc.batch(calls)
        return [self._change(method, params, answer) for (method, params), answer in zip(calls, answers, strict=True)]

    def close(self) -> None:
        self._rpc.close()
