"""The rules of proofs. No I/O: a file is held against itself, and all of it follows from its blocks' hashes.

1. Each header is a block's; their numbers ascend, and where two are neighbours the one names the other as its parent.
2. Each transaction and each receipt stands under its index in the tries of its block. The transactions are of the
   file's chain, and succeeded.
3. The events of the file's contract in them that name the goods are their circs, in the chain's order. The file has
   salt and form of each, and they give the event's digest.
4. ``version`` counts what was before: for a circ of these goods alone it is their ``times``.
5. The file names every actor of these circs and no other, and a registration carries the digest of each username.
6. Where a transaction calls the contract directly, it asks for the very circ that its event tells of. Who signed that
   circ is recovered; if it is the operator's account as it then was, the circ is ``signed``. Else the contract
   vouches for the signature: it was called through another contract, or the account is a contract (EIP-1271).
7. Custody goes from holder to holder.
8. In the state of the last block, the contract's account has the code that this program knows, made for this chain
   and address, and the goods' word in its storage has as many ``times`` as circs are shown, and the same holder. So
   none is left out. Where the chain could not prove its state, this rests on an RPC.
9. Nothing in the file is beside the point: each transaction tells of a circ, of a registration, or of an account that
   spoke for an operator later than its registration and before its last circ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from node.chain import contract, signer
from node.chain.contract import AccountChanged, ActorRegistered, Circulated, Event
from node.chain.envelope import CarriedTransaction, read_receipt, read_transaction
from node.chain.layout import goods_in_word, goods_slot
from node.chain.merkle import Header, account_of, index_key, read_header, value_of, word_at
from node.domain.form import form_digest, name_digest
from node.domain.model import NOBODY, TIMES_MAX, Circ, CircType
from node.flow.proof.file import ProofFile, ProofState, ProofWrong
from node.flow.proof.proven import Place, Proven, ProvenBlock, ProvenCirc


@dataclass(frozen=True, slots=True)
class _Told:
    """An event of the contract, and the transaction that brought it."""

    place: Place
    event: Event
    transaction: CarriedTransaction


def verify(proof: ProofFile) -> Proven:
    """What the file proves. Raises ProofWrong if anything in it is not so."""
    headers = _headers(proof)
    told = [each for place, header in enumerate(headers) for each in _told(proof, place, header)]
    circs = [each for each in told if isinstance(each.event, Circulated) and _is_about(each.event, proof.goods_id)]
    if not circs or len(circs) != len(proof.circs):
        raise ProofWrong(f"circs: there are {len(proof.circs)}, the transactions tell of {len(circs)} of these goods")
    actors = _Actors(proof, told, circs)
    times = {header.number: header.timestamp for header in headers}
    proven = [_circ(proof, number, each, actors, times[each.place[0]]) for number, each in enumerate(circs)]
    holder = _replay(proven)
    if proof.state is not None:
        _check_state(proof, proof.state, headers[-1], len(proven), holder)
    _check_needed(proof, headers, {each.place for each in circs} | actors.places)
    return Proven(
        chain_id=proof.chain_id,
        contract=proof.contract,
        goods_id=proof.goods_id,
        circs=tuple(proven),
        holder=holder,
        holder_name=actors.name(holder),
        blocks=_blocks(headers),
        complete=proof.state is not None,
    )


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Whatever is misshapen within is wrong in the file, at ``where``."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise ProofWrong(f"{where}: {error}") from error


def _headers(proof: ProofFile) -> list[Header]:
    """Rule 1."""
    headers: list[Header] = []
    for place, block in enumerate(proof.blocks):
        with _at(f"blocks[{place}].header"):
            header = read_header(block.header)
        if headers:
            before = headers[-1]
            if header.number <= before.number:
                raise ProofWrong(f"blocks[{place}]: block {header.number} stands behind block {before.number}")
            if header.number == before.number + 1 and header.parent_hash != before.hash:
                raise ProofWrong(
                    f"blocks[{place}]: block {header.number} is no child of the block {before.number} given"
                )
        headers.append(header)
    if not headers:
        raise ProofWrong("blocks: there are none")
    return headers


def _blocks(headers: Sequence[Header]) -> tuple[ProvenBlock, ...]:
    numbers = {header.number for header in headers}
    return tuple(
        ProvenBlock(header.number, "0x" + header.hash.hex(), header.timestamp, header.number + 1 in numbers)
        for header in headers
    )


def _told(proof: ProofFile, block: int, header: Header) -> list[_Told]:
    """Rules 2 and 3: the contract's events in those transactions of a block that the file has."""
    found: list[_Told] = []
    last = -1
    for place, carrier in enumerate(proof.blocks[block].transactions):
        where = f"blocks[{block}].transactions[{place}]"
        if carrier.index <= last:
            raise ProofWrong(f"{where}: index {carrier.index} stands behind {last}")
        last, key = carrier.index, index_key(carrier.index)
        with _at(f"{where}.transaction"):
            transaction = read_transaction(value_of(header.transactions_root, key, carrier.transaction))
        with _at(f"{where}.receipt"):
            receipt = read_receipt(value_of(header.receipts_root, key, carrier.receipt))
        if transaction.chain_id not in (None, proof.chain_id):
            raise ProofWrong(f"{where}: is of chain {transaction.chain_id}, the file of chain {proof.chain_id}")
        if not receipt.status:
            raise ProofWrong(f"{where}: was reverted")
        for number, log in enumerate(receipt.logs):
            if log.address.lower() == proof.contract:
                with _at(f"{where}.receipt: log {number}"):
                    event = contract.decode_log(log.topics, log.data)
                if event is not None:
                    found.append(_Told((header.number, carrier.index, number), event, transaction))
    return found


def _is_about(event: Circulated, goods_id: int) -> bool:
    return any(goods_id in span for span in event.circ.goods)


class _Actors:
    """Rule 5: who the circs' actors are. ``places`` are those of the events that say so."""

    def __init__(self, proof: ProofFile, told: Sequence[_Told], circs: Sequence[_Told]) -> None:
        self.places: set[Place] = set()
        self._accounts: dict[int, list[tuple[Place, str]]] = {}
        self._names: dict[int, str] = {}
        last_circ: dict[int, Place] = {}
        wanted: set[int] = set()
        for each in circs:
            if isinstance(each.event, Circulated):
                wanted |= {each.event.circ.operator, each.event.circ.to}
                last_circ[each.event.circ.operator] = each.place
        if [each.actor for each in proof.actors] != sorted(wanted):
            raise ProofWrong(f"actors: want those of the circs, {', '.join(map(str, sorted(wanted)))}, in this order")
        names = {each.actor: each.username for each in proof.actors}
        for each in told:
            match each.event:
                case ActorRegistered(actor, account, _, digest) if actor in names and actor not in self._names:
                    if name_digest(names[actor]) != digest:
                        raise ProofWrong(f"actors: actor {actor} was registered under another username")
                    self._names[actor] = names[actor]
                    self._accounts[actor] = [(each.place, account)]
                    self.places.add(each.place)
                case AccountChanged(actor, account, _) if actor in self._names and each.place < last_circ.get(
                    actor, ()
                ):
                    self._accounts[actor].append((each.place, account))
                    self.places.add(each.place)
        for actor in sorted(wanted):
            if actor not in self._names:
                raise ProofWrong(f"actors: the registration of actor {actor} is missing")

    def name(self, actor: int) -> str:
        """The username of one of the circs' actors."""
        return self._names[actor]

    def account(self, actor: int, place: Place) -> str | None:
        """The account that spoke for an actor just before ``place``, None if it was not registered yet."""
        before = [account for changed, account in self._accounts[actor] if changed < place]
        return before[-1] if before else None


def _circ(proof: ProofFile, times: int, told: _Told, actors: _Actors, timestamp: int) -> ProvenCirc:
    """Rules 3, 4 and 6 for the circ that comes after ``times`` others."""
    where = f"circs[{times}]"
    if not isinstance(told.event, Circulated):
        raise AssertionError("only Circulated is an event of a circ")
    circ, shown = told.event.circ, proof.circs[times]
    if form_digest(shown.salt, shown.form) != circ.form_digest:
        raise ProofWrong(f"{where}: salt and form don't give the digest that the contract took")
    others = sum(span.count for span in circ.goods) - 1
    if not 0 <= circ.version - times <= others * TIMES_MAX:
        raise ProofWrong(f"{where}: stands after {times} others, but its version is {circ.version}")
    account = actors.account(circ.operator, told.place)
    if account is None:
        raise ProofWrong(f"{where}: its operator, actor {circ.operator}, was not registered yet")
    with _at(where):
        signed_by = _signer(proof, told.transaction, circ)
    return ProvenCirc(
        times=times,
        circ=circ,
        operator=actors.name(circ.operator),
        to=actors.name(circ.to),
        form=shown.form,
        tx_hash="0x" + told.transaction.hash.hex(),
        block=told.place[0],
        timestamp=timestamp,
        signer=account if signed_by == account else None,
    )


def _signer(proof: ProofFile, transaction: CarriedTransaction, circ: Circ) -> str | None:
    """Rule 6: the account whose key signed the circ that a transaction asks for; None if that can't be read."""
    if transaction.to is None or transaction.to.lower() != proof.contract:
        return None
    try:
        call, signature = contract.decode_circulate(transaction.input)
    except ValueError:
        return None
    if call != circ:
        raise ValueError("its transaction asks for another circ")
    try:
        return signer.recover(contract.circ_digest(proof.chain_id, proof.contract, call), signature)
    except ValueError:
        return None


def _replay(circs: Sequence[ProvenCirc]) -> int:
    """Rule 7. Answers the holder after the last."""
    holder = NOBODY
    for each in circs:
        circ = each.circ
        free = circ.circ_type is CircType.EXAM or (circ.circ_type is CircType.PRODUCE and holder == NOBODY)
        if not free and circ.operator != holder:
            raise ProofWrong(f"circs[{each.times}]: its operator, actor {circ.operator}, does not hold the goods")
        if circ.circ_type in (CircType.PRODUCE, CircType.TRANSFER):
            holder = circ.to
    if holder == NOBODY:
        raise ProofWrong("circs: none of them says who holds the goods")
    return holder


def _check_state(proof: ProofFile, state: ProofState, header: Header, times: int, holder: int) -> None:
    """Rule 8."""
    with _at("state.account"):
        account = account_of(header.state_root, bytes.fromhex(proof.contract[2:]), state.account)
    if account.code_hash != bytes.fromhex(contract.code_hash(_code(proof))[2:]):
        raise ProofWrong(
            f"state.account: the code at {proof.contract} is not the contract that this program knows, made for chain "
            f"{proof.chain_id}: its word proves nothing"
        )
    with _at("state.storage"):
        word = word_at(account.storage_root, goods_slot(proof.goods_id), state.storage)
    if goods_in_word(word, proof.goods_id) != (holder, times):
        there, count = goods_in_word(word, proof.goods_id)
        raise ProofWrong(
            f"state.storage: the contract counts {count} circs of the goods, held by actor {there}; the file has "
            f"{times}, which leave them with actor {holder}"
        )


def _code(proof: ProofFile) -> bytes:
    return contract.runtime_code(proof.chain_id, proof.contract)


def _check_needed(proof: ProofFile, headers: Sequence[Header], places: set[Place]) -> None:
    """Rule 9."""
    needed = {place[:2] for place in places}
    for place, (header, block) in enumerate(zip(headers, proof.blocks, strict=True)):
        for number, carrier in enumerate(block.transactions):
            if (header.number, carrier.index) not in needed:
                raise ProofWrong(f"blocks[{place}].transactions[{number}]: tells nothing of the goods or their actors")
        if not block.transactions and header is not headers[-1]:
            raise ProofWrong(f"blocks[{place}]: has no transaction, and only the last block may have none")
