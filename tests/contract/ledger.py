"""The contract on py-evm, without blocks: one transaction after another on a state that can be forked and poked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth.chains.base import MiningChain
from eth.consensus import ConsensusApplier, NoProofConsensus
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.message import Message
from eth.vm.spoof import SpoofTransaction
from eth_account import Account
from eth_keys import keys
from eth_utils import keccak, to_canonical_address, to_checksum_address

from node.chain import contract
from node.domain.model import Circ, CircType, Range, Rights, ranges_of

CHAIN_ID = 1337
GAS_MAX = 16_777_216
ALL_RIGHTS = Rights.CIRCULATE | Rights.PRODUCE | Rights.EXAMINE

PRODUCE, PROCESS, TRANSFER, EXAM = CircType.PRODUCE, CircType.PROCESS, CircType.TRANSFER, CircType.EXAM


def key_of(number: int) -> keys.PrivateKey:
    """A private key for tests, always the same for a number."""
    return keys.PrivateKey(keccak(b"test key %d" % number))


ADMIN, REGISTRAR, STRANGER = key_of(10**6), key_of(10**6 + 1), key_of(10**6 + 2)
_RICH = 10**30


def address_of(key: keys.PrivateKey) -> str:
    """The key's checksum address."""
    return str(key.public_key.to_checksum_address())


@dataclass(frozen=True)
class Outcome:
    """What became of a transaction."""

    error: str | None
    """The broken rule as the codec words it, or None."""
    gas_used: int
    output: bytes
    logs: tuple[tuple[tuple[bytes, ...], bytes], ...]
    created: str

    @property
    def events(self) -> list[Any]:
        """The contract's events, decoded."""
        return [contract.decode_log(topics, data) for topics, data in self.logs]


class Ledger:
    """A state with the contract on it."""

    def __init__(self) -> None:
        vm_configuration = ConsensusApplier(NoProofConsensus).amend_vm_configuration(((0, PragueVM),))
        chain_class = MiningChain.configure("Chain", vm_configuration=vm_configuration, chain_id=CHAIN_ID)
        account = {"balance": _RICH, "nonce": 0, "code": b"", "storage": {}}
        chain = chain_class.from_genesis(
            AtomicDB(),
            {"difficulty": 0, "gas_limit": 60_000_000, "timestamp": 1},
            {key.public_key.to_canonical_address(): account for key in (ADMIN, REGISTRAR, STRANGER)},
        )
        self._vm = chain.get_vm()
        self._state = self._vm.state
        self._registered: list[keys.PrivateKey] = []
        deployed = self.send(contract.deploy_data(address_of(ADMIN), address_of(REGISTRAR)), to="", sender=ADMIN)
        assert deployed.error is None
        self.deploy_gas = deployed.gas_used
        self.address = deployed.created

    def fork(self) -> Ledger:
        """A ledger that goes its own way from here."""
        self._state.persist()
        fork = object.__new__(Ledger)
        fork.__dict__.update(self.__dict__)
        fork._registered = list(self._registered)
        fork._state = self._vm.get_state_class()(self._state._db, self._state.execution_context, self._state.state_root)
        return fork

    # Transactions

    def send(
        self, data: bytes, sender: keys.PrivateKey = STRANGER, to: str | None = None, gas: int = GAS_MAX
    ) -> Outcome:
        """Run one transaction; the contract is its target unless ``to`` names another ("" creates one)."""
        sender_address = sender.public_key.to_canonical_address()
        target = self.address if to is None else to
        self._state.lock_changes()
        nonce = self._state.get_nonce(sender_address)
        transaction = self._vm.create_unsigned_transaction(
            nonce=nonce,
            gas_price=10**10,
            gas=gas,
            to=to_canonical_address(target) if target else b"",
            value=0,
            data=data,
        )
        computation = self._state.apply_transaction(SpoofTransaction(transaction, from_=sender_address))
        error = None
        if computation.is_error:
            error = contract.decode_error(computation.output) if computation.output else repr(computation.error)
        gas_used = gas - computation.get_gas_remaining() - computation.get_gas_refund() + computation.data_floor_gas
        logs = tuple(
            (tuple(topic.to_bytes(32, "big") for topic in topics), data)
            for _, topics, data in computation.get_log_entries()
        )
        created = to_checksum_address(computation.msg.storage_address)
        return Outcome(error, gas_used, computation.output, logs, created)

    def register(
        self, key: keys.PrivateKey | None = None, rights: Rights = ALL_RIGHTS, name_digest: bytes | None = None
    ) -> int:
        """Register an actor with a key and a name of its own, or with those given."""
        key = key or key_of(len(self._registered))
        name_digest = name_digest or keccak(b"name %d" % len(self._registered))
        outcome = self.send(contract.register_actor_data(address_of(key), rights, name_digest), sender=REGISTRAR)
        assert outcome.error is None, outcome.error
        self._registered.append(key)
        return int.from_bytes(outcome.output, "big")

    def sign(self, circ: Circ, key: keys.PrivateKey | None = None) -> bytes:
        """The signature of the circ's operator, or of ``key``."""
        key = key or self.key(circ.operator)
        return sign(contract.circ_digest(CHAIN_ID, self.address, circ), key)

    def key(self, actor: int) -> keys.PrivateKey:
        """The key of a registered actor; some key for any other number."""
        return self._registered[actor - 1] if 0 < actor <= len(self._registered) else key_of(actor)

    def circulate(self, circ: Circ, signature: bytes | None = None) -> Outcome:
        """Send a circ with its operator's signature, or with the one given."""
        return self.send(contract.circulate_data(circ, self.sign(circ) if signature is None else signature))

    # Reading

    def call(self, data: bytes, to: str | None = None) -> bytes:
        """What a call returns."""
        target = to_canonical_address(to or self.address)
        sender = STRANGER.public_key.to_canonical_address()
        self._state.lock_changes()
        message = Message(gas=GAS_MAX, to=target, sender=sender, value=0, data=data, code=self.code(to))
        context = self._state.get_transaction_context_class()(gas_price=0, origin=sender)
        computation = self._state.computation_class.apply_message(self._state, message, context)
        assert computation.is_success
        return bytes(computation.output)

    def code(self, address: str | None = None) -> bytes:
        """The code at an address, the contract's if none is given."""
        return bytes(self._state.get_code(to_canonical_address(address or self.address)))

    def goods(self, goods_id: int) -> tuple[int, int]:
        """Holder and times."""
        return contract.decode_goods_of(self.call(contract.goods_of_data(goods_id)))

    def word(self, number: int) -> int:
        """The storage word of goods ``8 * number`` to ``8 * number + 7``."""
        return int(self._state.get_storage(to_canonical_address(self.address), WORDS_SLOT + number))

    def version_of(self, goods: tuple[Range, ...]) -> int:
        """The sum of times over the goods."""
        return sum(self.goods(goods_id)[1] for span in goods for goods_id in span)

    # Poking

    def put_wallet(self, address: str, approved: bytes) -> None:
        """Put an EIP-1271 wallet at an address; it approves of one digest, whatever the signature."""
        target = to_canonical_address(address)
        self._state.set_code(target, WALLET)
        self._state.set_storage(target, 0, int.from_bytes(approved, "big"))

    def fund(self, key: keys.PrivateKey) -> None:
        """Let a key pay for transactions."""
        self._state.set_balance(key.public_key.to_canonical_address(), _RICH)

    def poke_actors(self, count: int) -> None:
        """Set how many actors are registered (storage slot after those of AccessControl and EIP712)."""
        self._state.set_storage(to_canonical_address(self.address), ACTORS_SLOT, count)

    def poke_goods(self, goods_id: int, holder: int, times: int) -> None:
        """Set one goods' custody."""
        slot, lane = WORDS_SLOT + goods_id // 8, goods_id % 8 * 32
        address = to_canonical_address(self.address)
        word = self._state.get_storage(address, slot) & ~(0xFFFFFFFF << lane)
        self._state.set_storage(address, slot, word | (holder | times << 20) << lane)


ACTORS_SLOT = 2**28 + 3
WORDS_SLOT = 0
"""Where the contract keeps the number of actors and the first word of goods."""

WALLET = bytes.fromhex(
    "600435"  # the digest that the caller asks about
    "60005414"  # is it the approved one, in slot 0?
    "631626ba7e02"  # then EIP-1271's magic value, else 0
    "60e01b60005260206000f3"  # returned in the leftmost bytes of a word
)


def sign(digest: bytes, key: keys.PrivateKey) -> bytes:
    """A 65-byte signature over a digest."""
    return bytes(Account.unsafe_sign_hash(digest, key.to_bytes()).signature)


def circ(
    goods: tuple[Range, ...] | list[int] | int,
    circ_type: CircType,
    operator: int,
    to: int | None = None,
    version: int = 0,
) -> Circ:
    """A circ with less to write."""
    if isinstance(goods, int):
        goods = (Range(goods, 1),)
    elif isinstance(goods, list):
        goods = ranges_of(goods)
    return Circ(goods, circ_type, operator, operator if to is None else to, keccak(text="form"), version)
