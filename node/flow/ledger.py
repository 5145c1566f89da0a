"""The node's place on the chain: which chain, which contract, which signer, and the next nonce.

The contract is deployed by the first transaction of the outbox. Its address follows from signer and nonce,
so it is known, and remembered, before anything is sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.chain import contract, signer
from node.chain.gas import DEPLOY_GAS, GAS_MAX
from node.chain.rpc import Chain, Fees
from node.domain.records import TxKind, TxState
from node.errors import Reason, SetupError, Status, VTraceError
from node.store import keys, outbox
from node.store.db import Store, claim
from node.store.seal import Seal

BACKLOG_MAX = 20_000
RETRY_SECONDS = 5
SIGNER_KEY = "signer"


@dataclass(frozen=True, slots=True)
class Stored:
    """A transaction that stands in the outbox: its row, and the hash it will be known by."""

    outbox_id: int
    tx_hash: str


class Ledger:
    """Signs the node's transactions into the outbox. ``enrol`` runs inside ``Store.write()``."""

    def __init__(self, *, chain_id: int, address: str, signer_key: bytes, gas_max: int, fees: Fees) -> None:
        self.chain_id = chain_id
        self.contract = address
        self.gas_max = gas_max
        self.fees = fees
        self._signer_key = signer_key
        self.signer = signer.address_of(signer_key)

    def enrol(self, kind: TxKind, data: bytes, gas: int, first_nonce: int | None = None) -> Stored:
        """Sign a call of the contract (or its deployment) at the signer's next nonce and store it."""
        nonce = outbox.next_nonce(self.signer)
        if nonce is None:
            if first_nonce is None:
                raise AssertionError("the deployment must be the first transaction of the outbox")
            nonce = first_nonce
        signed = signer.sign_transaction(
            self._signer_key,
            chain_id=self.chain_id,
            nonce=nonce,
            to=None if kind is TxKind.DEPLOY else self.contract,
            data=data,
            gas=gas,
            fees=self.fees,
        )
        row = outbox.add(signer=self.signer, nonce=nonce, kind=kind, raw=signed.raw, tx_hash=signed.hash)
        return Stored(row, signed.hash)

    def backlog(self) -> int:
        """How many transactions no block holds yet."""
        oldest, following = outbox.oldest_unmined_nonce(), outbox.next_nonce(self.signer)
        return 0 if oldest is None or following is None else following - oldest

    def refuse_if_full(self) -> None:
        """RESOURCE_EXHAUSTED once the backlog limit is reached: the chain has been away for long."""
        waiting = self.backlog()
        if waiting >= BACKLOG_MAX:
            raise VTraceError(
                Reason.CREATE_CIRC_FAILED,
                f"{waiting} transactions wait for the chain, the limit is {BACKLOG_MAX}: try again later",
                metadata={"backlog": waiting, "backlog_max": BACKLOG_MAX},
                status=Status.RESOURCE_EXHAUSTED,
                retry_seconds=RETRY_SECONDS,
            )


def signer_key(store: Store, seal: Seal, given: bytes | None) -> bytes:
    """The key of the node's signer: the given one, or one made at first start.

    It stays the same once it has signed: until the contract has its place, another one can still be named.
    """
    with store.write():
        if given is not None and "contract" not in store.settings():
            keys.keep_key(seal, SIGNER_KEY, given)
        key = keys.own_key(seal, SIGNER_KEY, lambda: given or signer.new_key())
    if given is not None and given != key:
        raise SetupError(
            f"this data directory's signer is {signer.address_of(key)}, but the key given is of "
            f"{signer.address_of(given)}: name the first one, or none (--signer-key)"
        )
    return key


def open_ledger(store: Store, chain: Chain, key: bytes) -> Ledger:
    """Find, or make, the node's place on ``chain``; SetupError where it can't be had."""
    address = signer.address_of(key)
    chain_id, genesis, head = chain.chain_id(), chain.block(0), chain.head()
    if genesis is None:
        raise SetupError(f"chain {chain_id} has no block 0: it is not ready yet, or not an EVM chain")
    claim(store, {"chain_id": str(chain_id), "genesis": genesis.hash, "signer": address})
    known = store.settings()
    fees = chain.fees()
    gas_max = min(GAS_MAX, head.gas_limit // 2)
    if "contract" in known:
        _check_deployed(chain, chain_id, known["contract"])
        _check_nonce(chain, address)
        return Ledger(chain_id=chain_id, address=known["contract"], signer_key=key, gas_max=gas_max, fees=fees)
    gas = DEPLOY_GAS
    need = gas * fees.max_fee_per_gas
    if chain.balance(address) < need:
        raise SetupError(
            f"signer {address} can't pay for the contract on chain {chain_id}: send it at least {need} wei "
            "and start again, or name the key of a funded account (--signer-key)"
        )
    nonce = chain.transaction_count(address)
    ledger = Ledger(
        chain_id=chain_id,
        address=signer.contract_address(address, nonce),
        signer_key=key,
        gas_max=gas_max,
        fees=fees,
    )
    with store.write():
        store.remember(chain_id=str(chain_id), genesis=genesis.hash, signer=address, contract=ledger.contract)
        ledger.enrol(TxKind.DEPLOY, contract.deploy_data(address, address), gas, first_nonce=nonce)
    return ledger


def _check_nonce(chain: Chain, address: str) -> None:
    """Refuse an index that is older than the chain, such as one from a backup: its next nonces are used up."""
    used, following = chain.transaction_count(address), outbox.next_nonce(address)
    if following is not None and used > following:
        raise SetupError(
            f"the chain has {used} transactions of signer {address}, this index knows of {following}: it is an older "
            "copy, or the key signed elsewhere too; start with the newest copy of the data directory"
        )


def _check_deployed(chain: Chain, chain_id: int, address: str) -> None:
    code = chain.code(address)
    if not code and outbox.in_state([TxState.FINAL], 1):
        raise SetupError(
            f"chain {chain_id} has lost the contract {address} and all that was recorded: restore the chain's data"
        )
    if code and not contract.code_matches(code, chain_id, address):
        raise SetupError(f"the code at {address} is not this version's contract: start the version that made it")
