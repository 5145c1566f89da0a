"""The rules by which what a node shows of goods is held against what the chain says. No I/O.

Steps 1 and 2 are the auditor's: to ask the chain and the node. These are the rules, in the order in which they
are kept below:

3.  each circ is whole: its goods, kind, names, salt, hashes and status are there and have their form;
4.  each circ shown as success has a transaction to the contract, mined in a block of the chain, not reverted.
    One shown as pending may have none yet. One shown as failed must not have happened;
5.  the event of that transaction, emitted by the contract, names these goods, and no circ is shown twice;
6.  the event's kind, operator and receiver are those shown, and its digest is that of the shown salt and form;
7.  the operator's account, as it was then, signed exactly this circ;
8.  the usernames are those under which operator and receiver were registered;
9.  the order is the chain's, and ``times`` counts it from 0;
10. custody goes from holder to holder;
11. no circ is left out: the contract's ``times`` and holder of the goods are those of the circs shown;
12. class, serial and org are those of the first produce circ's form.

What was mined after the audited block, and what is not mined yet, waits: it is counted as pending, and judged
by the audit of a later block.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from node.domain import custody
from node.domain.custody import CustodyError
from node.domain.form import SALT_BYTES, ProduceForm, form_digest, name_digest
from node.domain.model import Circ, CircStatus, CircType, Rights
from node.flow.audit.facts import Event, Evidence, Facts, Fault, Place, names_goods
from node.flow.audit.findings import Difference, Verdict, What, actor_name, kind_name, quoted, short
from node.flow.audit.product import products
from node.flow.audit.shown import ShownCirc, ShownGoods

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_STATUSES = frozenset(CircStatus)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A shown circ with the event that it is."""

    shown: ShownCirc
    event: Event
    form_holds: bool


def judge(goods_id: int, shown: ShownGoods | None, facts: Facts) -> Verdict:
    """Hold what the node shows of one goods against what the chain says."""
    return _Trial(goods_id, facts).run(shown)


def is_hash(text: str) -> bool:
    """Whether a text is a transaction hash: 0x and 64 hex digits."""
    return _HASH.fullmatch(text) is not None


class _Trial:
    """The judging of one goods; differences are collected as they are found."""

    def __init__(self, goods_id: int, facts: Facts) -> None:
        self._goods_id = goods_id
        self._facts = facts
        self._differences: list[Difference] = []
        self._claims: dict[str, _Claim] = {}
        self._waiting: list[ShownCirc] = []
        self._seen: set[str] = set()

    def run(self, shown: ShownGoods | None) -> Verdict:
        facts = self._facts
        if shown is None:
            self._differ(
                What.UNKNOWN_GOODS, f"the node does not know them; the contract counts {facts.times} circs of them"
            )
            return self._verdict()
        taken: list[_Claim | ShownCirc] = []
        for index, circ in enumerate(shown.circs):
            found = self._take(index, circ)
            if found is not None:
                taken.append(found)
        self._check_order(taken)
        holder = self._replay()
        self._check_count(holder)
        self._check_product(shown)
        return self._verdict()

    def _verdict(self) -> Verdict:
        return Verdict(self._goods_id, len(self._claims), len(self._waiting), tuple(self._differences))

    def _differ(self, what: What, detail: str) -> None:
        self._differences.append(Difference(self._goods_id, what, detail))

    def _differ_circ(self, what: What, circ: ShownCirc, detail: str) -> None:
        self._differ(what, f"circ {short(circ.trans_id or '')} {detail}")

    # --- one circ

    def _take(self, index: int, circ: ShownCirc) -> _Claim | ShownCirc | None:
        """Steps 3 to 8 for one circ: a claim if it is on the chain, the circ itself if it waits, else None."""
        status = self._check_shape(index, circ)
        if status is None:
            return None
        if self._is_repeated((circ.trans_id or "").lower()):
            self._differ_circ(What.SHOWN_TWICE, circ, "is shown twice")
            return None
        evidence = self._evidence_of(circ)
        if status is CircStatus.FAILED:
            event = self._check_failed(circ, evidence)
        elif status is CircStatus.SUCCESS:
            event = self._check_success(circ, evidence)
        else:
            event = self._check_pending(circ, evidence)
        if event is None:
            late = evidence is not None and evidence.block is not None and evidence.block > self._facts.head
            if status is CircStatus.PENDING or (status is CircStatus.SUCCESS and late):
                self._waiting.append(circ)
                return circ
            return None
        if event.tx_hash in self._claims:
            self._differ_circ(What.SHOWN_TWICE, circ, "is shown twice")
            return None
        # Step 6: the chain's event is what happened; the node must show the same.
        form_holds = self._check_content(circ, event.circ)
        self._check_signature(circ, event)
        self._check_names(circ, event.circ)
        claim = _Claim(circ, event, form_holds)
        self._claims[event.tx_hash] = claim
        return claim

    def _is_repeated(self, trans_id: str) -> bool:
        if trans_id in self._seen:
            return True
        self._seen.add(trans_id)
        return False

    def _check_shape(self, index: int, circ: ShownCirc) -> CircStatus | None:
        """Step 3. Answers the status, or None for a circ of which nothing more can be said."""
        if circ.trans_id is None or not is_hash(circ.trans_id):
            found = quoted(circ.trans_id)
            self._differ(What.MISSHAPEN, f"circ number {index + 1}: trans_id is {found}, want 0x and 64 hex digits")
            return None
        if circ.status not in _STATUSES:
            self._differ_circ(
                What.MISSHAPEN, circ, f"has the status {quoted(circ.status)}, want pending, failed or success"
            )
            return None
        status = CircStatus(circ.status)
        if circ.goods_id != self._goods_id:
            self._differ_circ(What.OTHER_GOODS, circ, f"is shown as one of goods {quoted(circ.goods_id)}")
        if circ.tx_hash is not None and not is_hash(circ.tx_hash):
            self._differ_circ(
                What.MISSHAPEN, circ, f"has the tx_hash {quoted(circ.tx_hash)}, want 0x and 64 hex digits"
            )
            return None
        if circ.tx_hash is None and status is CircStatus.SUCCESS:
            self._differ_circ(What.MISSHAPEN, circ, "is shown as success without its tx_hash")
        if len(circ.salt) != SALT_BYTES:
            self._differ_circ(What.MISSHAPEN, circ, f"has a salt of {len(circ.salt)} bytes, want {SALT_BYTES}")
        if status is CircStatus.FAILED and circ.times is not None:
            self._differ_circ(
                What.TIMES, circ, f"is shown as failed, but with times {circ.times}: it counts for nothing"
            )
        return status

    def _evidence_of(self, circ: ShownCirc) -> Evidence | None:
        """The evidence of the transaction that was mined for the circ: usually that of its trans_id."""
        found = self._facts.evidence
        first = found.get((circ.trans_id or "").lower())
        if circ.tx_hash is None or circ.tx_hash.lower() == (circ.trans_id or "").lower():
            return first
        # A nonce is used once: if both are mined, one of them is another circ's.
        if first is not None and first.block is not None:
            self._differ_circ(
                What.NOT_ON_CHAIN, circ, f"has the tx_hash {short(circ.tx_hash)}, but its trans_id was mined as well"
            )
        return found.get(circ.tx_hash.lower())

    def _check_success(self, circ: ShownCirc, evidence: Evidence | None) -> Event | None:
        """Steps 4 and 5 for a circ that is shown as success."""
        if evidence is None:
            self._differ_circ(What.NOT_ON_CHAIN, circ, "is shown as success, but the chain has no such transaction")
        elif evidence.block is None:
            self._differ_circ(What.NOT_ON_CHAIN, circ, "is shown as success, but its transaction is not mined")
        elif evidence.block <= self._facts.head:
            if evidence.fault is None:
                return self._event_of_goods(circ, evidence)
            self._differ_circ(What.NOT_ON_CHAIN, circ, f"is shown as success, but its transaction {evidence.fault}")
        return None

    def _check_pending(self, circ: ShownCirc, evidence: Evidence | None) -> Event | None:
        """Steps 4 and 5 for a circ that is shown as pending: it may be on the chain by now."""
        if evidence is None or evidence.block is None:
            return self._event_of_form(circ)
        if evidence.block > self._facts.head or evidence.fault in (Fault.REVERTED, Fault.FORKED_OFF):
            return None
        if evidence.fault is None:
            return self._event_of_goods(circ, evidence)
        self._differ_circ(What.NOT_ON_CHAIN, circ, f"is shown as pending, but its transaction {evidence.fault}")
        return None

    def _check_failed(self, circ: ShownCirc, evidence: Evidence | None) -> Event | None:
        """Steps 4 to 6 for a circ that is shown as failed: what the contract took has not failed."""
        event = self._event_of_form(circ)
        if evidence is not None and evidence.block is not None and evidence.block <= self._facts.head:
            if evidence.fault is None:
                event = self._event_of_goods(circ, evidence)
            elif evidence.fault is Fault.REVERTED and evidence.call is not None:
                self._check_content(circ, evidence.call)
                self._check_names(circ, evidence.call)
            elif evidence.fault is not Fault.FORKED_OFF:
                self._differ_circ(What.NOT_ON_CHAIN, circ, f"is shown as failed, but its transaction {evidence.fault}")
        if event is not None:
            self._differ_circ(What.NOT_FAILED, circ, "is shown as failed, but it happened: the contract took it")
        return event

    def _event_of_goods(self, circ: ShownCirc, evidence: Evidence) -> Event | None:
        """Step 5."""
        event = evidence.event
        if event is None:
            raise AssertionError(f"evidence of {evidence.tx_hash} has neither event nor fault")
        if names_goods(event.circ, self._goods_id):
            return event
        self._differ_circ(What.OTHER_GOODS, circ, "has a transaction whose circ does not name these goods")
        return None

    def _event_of_form(self, circ: ShownCirc) -> Event | None:
        """The event with this circ's digest, where the logs are known. It may have been mined under another hash
        than the node shows, if the fee was bumped; its salt is its own, so the digest is as good as the hash."""
        if self._facts.events is None or len(circ.salt) != SALT_BYTES:
            return None
        digest = form_digest(circ.salt, circ.form)
        for event in self._facts.events:
            if event.circ.form_digest == digest and event.tx_hash not in self._claims:
                return event
        return None

    def _check_content(self, circ: ShownCirc, on_chain: Circ) -> bool:
        """Step 6. Answers whether the form is the one that the chain has."""
        if circ.circ_type != on_chain.circ_type:
            self._differ_circ(
                What.KIND,
                circ,
                f"is shown as {kind_name(circ.circ_type)}, the chain has {kind_name(on_chain.circ_type)}",
            )
        if len(circ.salt) != SALT_BYTES:
            return False
        if form_digest(circ.salt, circ.form) == on_chain.form_digest:
            return True
        self._differ_circ(
            What.FORM, circ, f"({kind_name(on_chain.circ_type)}): form and salt differ from their digest on the chain"
        )
        return False

    def _check_signature(self, circ: ShownCirc, event: Event) -> None:
        """Step 7."""
        evidence = self._facts.evidence.get(event.tx_hash)
        if evidence is None:
            return  # found by its digest among the contract's events: a success must name its transaction later
        operator = self._facts.actors.at(event.circ.operator, event.place)
        # An account with code says itself what it has signed (EIP-1271). The contract asked it when it took the
        # circ; that can't be repeated for a past block, so the contract's verdict is accepted.
        if operator is not None and operator.account in (evidence.signed_by, *self._facts.contract_accounts):
            return
        account = "no account" if operator is None else operator.account
        self._differ_circ(
            What.SIGNATURE, circ, f"is not signed by its operator, actor {event.circ.operator} with {account}"
        )

    def _check_names(self, circ: ShownCirc, on_chain: Circ) -> None:
        """Step 8."""
        for role, said, actor in (
            ("operator", circ.operator, on_chain.operator),
            ("from", circ.origin, on_chain.operator),
            ("to", circ.to, on_chain.to),
        ):
            digest = None if said is None else name_digest(said)
            if digest is not None and digest == self._facts.actors.name_digest(actor):
                continue
            other = None if digest is None else self._facts.actors.called(digest)
            known = "nobody's name on the chain" if other is None else f"the name of actor {other}"
            shown = "no username" if said is None else f"{quoted(said)}, {known}"
            self._differ_circ(What.NAME, circ, f"shows as {role} {shown}; the chain has actor {actor}")

    # --- the history

    def _check_order(self, taken: list[_Claim | ShownCirc]) -> None:
        """Step 9."""
        events, head_times = self._facts.events, self._facts.times
        ranks = None if events is None else {event.tx_hash: rank for rank, event in enumerate(events)}
        last: Place | None = None
        waiting: ShownCirc | None = None
        claims = later = 0
        for found in taken:
            if isinstance(found, ShownCirc):
                self._check_times(found, head_times + later)
                waiting, later = found, later + 1
                continue
            circ, place = found.shown, found.event.place
            self._check_times(circ, claims if ranks is None else ranks.get(found.event.tx_hash, claims))
            claims += 1
            if waiting is not None:
                self._differ_circ(
                    What.ORDER,
                    circ,
                    f"is on the chain, but shown after {short(waiting.trans_id or '')}, which is not",
                )
            elif last is not None and place < last:
                self._differ_circ(
                    What.ORDER, circ, "is shown after a circ that the chain has later: the order is another"
                )
            last = place if last is None else max(last, place)

    def _check_times(self, circ: ShownCirc, want: int) -> None:
        if circ.status == CircStatus.FAILED:
            return  # step 4 has said more
        if circ.times != want:
            self._differ_circ(What.TIMES, circ, f"is shown with times {quoted(circ.times)}, the chain has {want}")

    def _replay(self) -> int | None:
        """Step 10. Answers who holds the goods after the shown circs, None if they can't have happened like that."""
        state = custody.UNHELD
        for claim in self._claims.values():
            on_chain = claim.event.circ
            operator = self._facts.actors.at(on_chain.operator, claim.event.place)
            rights = Rights.NONE if operator is None else operator.rights
            try:
                state = custody.next_state(
                    self._goods_id, state, on_chain.circ_type, on_chain.operator, on_chain.to, rights
                )
            except CustodyError as fault:
                self._differ_circ(
                    What.CUSTODY,
                    claim.shown,
                    f"({kind_name(on_chain.circ_type)}) can't follow the circs shown before it: {fault}",
                )
                return None
        return state.holder

    def _check_count(self, holder: int | None) -> None:
        """Step 11."""
        facts, here = self._facts, len(self._claims)
        for rank, event in enumerate(facts.events or ()):
            if event.tx_hash not in self._claims:
                self._differ(
                    What.LEFT_OUT,
                    f"circ {short(event.tx_hash)} ({kind_name(event.circ.circ_type)}, times {rank}) is on the chain, "
                    "but not shown",
                )
        if here < facts.times:
            left_out = facts.times - here
            what = "1 circ is left out" if left_out == 1 else f"{left_out} circs are left out"
            self._differ(What.LEFT_OUT, f"{what}: the contract counts {facts.times}, the node shows {here} of them")
        elif here > facts.times:
            self._differ(What.LEFT_OUT, f"{here - facts.times} too many: the contract counts {facts.times}, not {here}")
        if holder is not None and holder != facts.holder:
            self._differ(
                What.HOLDER,
                f"by the circs shown {actor_name(holder)} holds the goods, by the contract {actor_name(facts.holder)}",
            )

    # --- the product

    def _check_product(self, shown: ShownGoods) -> None:
        """Step 12."""
        if shown.goods_id != self._goods_id:
            self._differ(What.OTHER_GOODS, f"the node answers with goods {quoted(shown.goods_id)}")
        circ = self._first()
        if circ is None:
            return
        try:
            form = ProduceForm.from_bytes(circ.form)
        except ValueError:
            self._differ_circ(
                What.PRODUCT, circ, "is the first of the goods, but its form does not say what was produced"
            )
            return
        for name, said, proven in products(shown, form):
            if said != proven:
                self._differ(
                    What.PRODUCT,
                    f"{name} is shown as {quoted(said)}, the form of the first produce circ says {quoted(proven)}",
                )

    def _first(self) -> ShownCirc | None:
        """The circ whose form says what the goods are: it proves that only if the chain has it, form and all."""
        if not self._claims:
            return self._waiting[0] if self._waiting and not self._facts.times else None
        first = min(self._claims.values(), key=lambda claim: claim.event.place)
        if self._facts.events is not None and first.event.tx_hash != self._facts.events[0].tx_hash:
            return None
        return first.shown if first.form_holds and first.event.circ.circ_type is CircType.PRODUCE else None
