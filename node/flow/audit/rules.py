"""The rules by which what a node shows of goods is held against what the chain says. No I/O.

Steps 1 and 2 are the auditor's: to ask the chain and the node. These are the rules, in the order in which they
are kept below:

3.  each circ is whole: its goods, kind, names, salt, hashes and status are there and have their form;
4.  each circ shown as success has a transaction, mined in a block of the chain, in which the contract took it. One
    shown as pending may have none yet, but what the chain settled long ago isn't pending any more. One shown as
    failed must not have happened; if its transaction is there, it is the operator's own attempt at this circ;
5.  the event of that transaction, emitted by the contract, names these goods, and no circ is shown twice. Anybody
    may send a circ, so tx_hash may be a stranger's transaction; what trans_id names is, if the chain knows it, a call
    for the same circ;
6.  the event's kind, operator and receiver are those shown, and its digest is that of the shown salt and form;
7.  the operator's account, as it was then, signed exactly this circ. That is looked at where the transaction calls
    the contract directly. Where another contract made the call, the signature can't be read from the calldata, and
    the log proves it: code with the known hash emits it only after it has checked the signature;
8.  the usernames are those under which operator and receiver were registered, and of one actor only;
9.  the order is the chain's, and ``times`` counts it from 0;
10. custody goes from holder to holder, and on through the circs that wait, as far as names and kinds tell;
11. no circ is left out: the contract's ``times`` and holder of the goods are those of the circs shown, and no goods
    are shown without a circ;
12. class, serial and org are those of the first produce circ's form, the goods' creator is its operator.

What was mined after the audited block, and what is not mined yet, waits: it is counted as pending, and judged
by the audit of a later block.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from node.domain import custody
from node.domain.custody import CustodyError
from node.domain.form import SALT_BYTES, ProduceForm, form_digest, name_digest
from node.domain.model import ACTOR_MAX, NOBODY, Circ, CircStatus, CircType, Rights
from node.flow.audit.facts import Event, Evidence, Facts, Fault, Place, names_goods
from node.flow.audit.findings import Difference, Verdict, What, actor_name, kind_name, quoted, short
from node.flow.audit.product import products
from node.flow.audit.shown import ShownCirc, ShownGoods

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_STATUSES = frozenset(CircStatus)
_KINDS = frozenset(CircType)
_ANY_RIGHTS = Rights.CIRCULATE | Rights.PRODUCE | Rights.EXAMINE

LATE_BLOCKS = 64
"""So many blocks after its transaction a circ may still be shown as pending."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """A shown circ with the event that it is."""

    shown: ShownCirc
    event: Event
    form_holds: bool


def judge(goods_id: int, shown: ShownGoods | None, facts: Facts, late_blocks: int = LATE_BLOCKS) -> Verdict:
    """Hold what the node shows of one goods against what the chain says."""
    return _Trial(goods_id, facts, late_blocks).run(shown)


def is_hash(text: str) -> bool:
    """Whether a text is a transaction hash: 0x and 64 hex digits."""
    return _HASH.fullmatch(text) is not None


class _Trial:
    """The judging of one goods; differences are collected as they are found."""

    def __init__(self, goods_id: int, facts: Facts, late_blocks: int) -> None:
        self._goods_id = goods_id
        self._facts = facts
        self._late_blocks = late_blocks
        self._differences: list[Difference] = []
        self._claims: dict[Place, _Claim] = {}
        self._waiting: list[ShownCirc] = []
        self._doomed: set[str] = set()
        self._unsettled = 0
        self._seen: set[str] = set()
        self._ambiguous: set[str] = set()

    def run(self, shown: ShownGoods | None) -> Verdict:
        facts = self._facts
        if shown is None:
            self._differ(
                What.UNKNOWN_GOODS, f"the node does not know them; the contract counts {facts.times} circs of them"
            )
            return self._verdict(fresh=False)
        taken: list[_Claim | ShownCirc] = []
        for index, circ in enumerate(shown.circs):
            found = self._take(index, circ)
            if found is not None:
                taken.append(found)
        self._check_order(taken)
        holder = self._replay()
        self._replay_waiting()
        self._check_count(holder)
        if not shown.circs and not facts.times:
            self._differ(
                What.NO_CIRC, "are shown without any circ, and the contract has taken none: nothing says that they are"
            )
        self._check_product(shown)
        return self._verdict(fresh=not facts.times)

    def _verdict(self, *, fresh: bool) -> Verdict:
        pending = len(self._waiting) + self._unsettled
        return Verdict(self._goods_id, len(self._claims), pending, tuple(self._differences), fresh)

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
        self._check_first_hash(circ, evidence, event)
        if event is None:
            return self._wait(circ, status, evidence)
        if event.place in self._claims:
            self._differ_circ(What.SHOWN_TWICE, circ, "is shown twice")
            return None
        # Step 6: the chain's event is what happened; the node must show the same.
        form_holds = self._check_content(circ, event.circ)
        self._check_signature(circ, event)
        self._check_names(circ, event.circ)
        claim = _Claim(circ, event, form_holds)
        self._claims[event.place] = claim
        return claim

    def _wait(self, circ: ShownCirc, status: CircStatus, evidence: Evidence | None) -> ShownCirc | None:
        """What can be said of a circ that no event is known of; answers it if it waits for one."""
        block = None if evidence is None else evidence.block
        settled = block is not None and block <= self._facts.head
        unsettled = not settled or (evidence is not None and evidence.fault is Fault.FORKED_OFF)
        if status is CircStatus.SUCCESS and (block is None or settled):
            return None
        if status is CircStatus.FAILED and not unsettled:
            return None
        if unsettled:
            if evidence is None or evidence.call is None:
                if evidence is not None and circ.tx_hash is None:
                    what = evidence.fault or "asks the contract for no circ"
                    self._differ_circ(What.NOT_ON_CHAIN, circ, f"is shown as {status}, but its transaction {what}")
                self._check_waiting(circ)
            else:
                self._check_call(circ, evidence.call)
        if evidence is not None and evidence.fault is Fault.REVERTED:
            self._doomed.add(circ.trans_id or "")
        if status is CircStatus.FAILED:
            self._unsettled += 1  # the chain has yet to say that it failed
            return None
        self._waiting.append(circ)
        return circ

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
        return self._facts.evidence.get((circ.tx_hash or circ.trans_id or "").lower())

    def _check_first_hash(self, circ: ShownCirc, evidence: Evidence | None, event: Event | None) -> None:
        """Step 5 for a trans_id whose transaction is not the one that was mined for the circ.

        It was outbid by the same nonce with a higher fee, and the chain has forgotten it; or somebody else sent the
        circ first, and it was reverted or still waits. Either way it asks for the same circ.
        """
        first = self._facts.evidence.get((circ.trans_id or "").lower())
        if first is None or circ.tx_hash is None or circ.tx_hash.lower() == first.tx_hash:
            return
        if first.events and first.fault is None:
            self._differ_circ(
                What.NOT_ON_CHAIN, circ, f"has the tx_hash {short(circ.tx_hash)}, but its trans_id was mined as well"
            )
            return
        if event is not None:
            want = event.circ.form_digest
        elif evidence is not None and evidence.call is not None:
            want = evidence.call.form_digest
        elif len(circ.salt) == SALT_BYTES:
            want = form_digest(circ.salt, circ.form)
        else:
            return  # step 3 has said more
        if first.call is None or first.call.form_digest != want or not names_goods(first.call, self._goods_id):
            self._differ_circ(
                What.NOT_ON_CHAIN,
                circ,
                f"has the tx_hash {short(circ.tx_hash)}, but the transaction of its trans_id asks for something else",
            )

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
        event = self._event_of_form(circ)
        block = None if evidence is None else evidence.block
        if evidence is not None and block is not None and block <= self._facts.head:
            if evidence.fault is None:
                event = self._event_of_goods(circ, evidence)
            elif evidence.fault is Fault.REVERTED and event is None:
                self._check_attempt(circ, evidence)
                self._check_late(circ, block, "was reverted")
            elif evidence.fault not in (Fault.REVERTED, Fault.FORKED_OFF):
                self._differ_circ(What.NOT_ON_CHAIN, circ, f"is shown as pending, but its transaction {evidence.fault}")
        if event is not None:
            self._check_late(circ, event.place.block, "was mined")
        return event

    def _check_late(self, circ: ShownCirc, block: int, what: str) -> None:
        """Step 4: a node follows the chain, so it can't take a circ for pending for ever."""
        behind = self._facts.head - block
        if behind > self._late_blocks:
            self._differ_circ(What.LATE, circ, f"is shown as pending, but its transaction {what} {behind} blocks ago")

    def _check_failed(self, circ: ShownCirc, evidence: Evidence | None) -> Event | None:
        """Steps 4 to 8 for a circ that is shown as failed: what the contract took has not failed."""
        event = self._event_of_form(circ)
        if evidence is not None and evidence.block is not None and evidence.block <= self._facts.head:
            if evidence.fault is None:
                event = self._event_of_goods(circ, evidence)
            elif evidence.fault is Fault.REVERTED:
                self._check_attempt(circ, evidence)
            elif evidence.fault is not Fault.FORKED_OFF:
                self._differ_circ(What.NOT_ON_CHAIN, circ, f"is shown as failed, but its transaction {evidence.fault}")
        if event is not None:
            self._differ_circ(What.NOT_FAILED, circ, "is shown as failed, but it happened: the contract took it")
        return event

    def _check_attempt(self, circ: ShownCirc, evidence: Evidence) -> None:
        """A reverted transaction proves nothing unless its operator wanted just this circ of these goods."""
        call = evidence.call
        if call is None:
            self._differ_circ(
                What.NOT_ON_CHAIN, circ, f"is shown as {circ.status}, but its transaction asks the contract for no circ"
            )
            return
        if not self._check_call(circ, call):
            return
        # The account may have changed since the circ was signed, which is one way to be reverted.
        accounts = self._facts.actors.accounts(call.operator)
        if evidence.signed_by not in accounts and not accounts & self._facts.contract_accounts:
            self._differ_circ(
                What.SIGNATURE, circ, f"was reverted, but its operator, actor {call.operator}, never signed it"
            )

    def _check_call(self, circ: ShownCirc, call: Circ) -> bool:
        """Steps 5, 6 and 8 for what a transaction asks for. Answers whether it is about these goods."""
        if not names_goods(call, self._goods_id):
            self._differ_circ(What.OTHER_GOODS, circ, "has a transaction whose circ does not name these goods")
            return False
        self._check_content(circ, call)
        self._check_names(circ, call)
        return True

    def _event_of_goods(self, circ: ShownCirc, evidence: Evidence) -> Event | None:
        """Step 5. One transaction may carry several circs, if a contract sends them."""
        ours = [event for event in evidence.events if names_goods(event.circ, self._goods_id)]
        if not ours:
            self._differ_circ(What.OTHER_GOODS, circ, "has a transaction whose circ does not name these goods")
            return None
        if len(circ.salt) == SALT_BYTES:
            digest = form_digest(circ.salt, circ.form)
            ours.sort(key=lambda event: event.circ.form_digest != digest)
        return next((event for event in ours if event.place not in self._claims), ours[0])

    def _event_of_form(self, circ: ShownCirc) -> Event | None:
        """The event with this circ's digest, where the logs are known. It may have been mined under another hash
        than the node shows, if the fee was bumped; its salt is its own, so the digest is as good as the hash."""
        if self._facts.events is None or len(circ.salt) != SALT_BYTES:
            return None
        digest = form_digest(circ.salt, circ.form)
        for event in self._facts.events:
            if event.circ.form_digest == digest and event.place not in self._claims:
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
        if evidence.call is None:
            return  # called by another contract: the log of the known code is the proof
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
        actors = self._facts.actors
        for role, said, actor in (
            ("operator", circ.operator, on_chain.operator),
            ("from", circ.origin, on_chain.operator),
            ("to", circ.to, on_chain.to),
        ):
            self._check_unambiguous(circ, said)
            digest = None if said is None else name_digest(said)
            if digest is not None and digest == actors.name_digest(actor):
                continue
            others = () if digest is None else actors.called(digest)
            if digest is not None and not others and actors.name_digest(actor) is None:
                continue  # neither the name nor the actor is registered up to the audited block
            known = f"the name of actor {others[0]}" if others else "nobody's name on the chain"
            shown = "no username" if said is None else f"{quoted(said)}, {known}"
            self._differ_circ(What.NAME, circ, f"shows as {role} {shown}; the chain has actor {actor}")

    def _check_unambiguous(self, circ: ShownCirc, said: str | None) -> None:
        """Step 8: a name that two actors have says nothing of who it was."""
        if said is None or said in self._ambiguous:
            return
        owners = self._facts.actors.called(name_digest(said))
        if len(owners) > 1:
            self._ambiguous.add(said)
            which = ", ".join(str(actor) for actor in owners)
            self._differ_circ(What.NAME, circ, f"shows the username {quoted(said)}, which several actors have: {which}")

    def _check_waiting(self, circ: ShownCirc) -> None:
        """Steps 3 and 8 for a circ of which the chain has no transaction that could be read."""
        if circ.circ_type not in _KINDS:
            self._differ_circ(What.KIND, circ, f"is shown as {kind_name(circ.circ_type)}, which is none")
        for role, said in (("operator", circ.operator), ("from", circ.origin), ("to", circ.to)):
            if not said:
                self._differ_circ(What.NAME, circ, f"shows as {role} no username")
            else:
                self._check_unambiguous(circ, said)
        if circ.operator and circ.origin and circ.operator != circ.origin:
            self._differ_circ(
                What.NAME, circ, f"shows as from {quoted(circ.origin)}, its operator is {quoted(circ.operator)}"
            )

    # --- the history

    def _check_order(self, taken: list[_Claim | ShownCirc]) -> None:
        """Step 9."""
        events, head_times = self._facts.events, self._facts.times
        ranks = None if events is None else {event.place: rank for rank, event in enumerate(events)}
        last: Place | None = None
        waiting: ShownCirc | None = None
        claims = later = 0
        for found in taken:
            if isinstance(found, ShownCirc):
                self._check_times(found, head_times + later)
                waiting, later = found, later + 1
                continue
            circ, place = found.shown, found.event.place
            self._check_times(circ, claims if ranks is None else ranks.get(place, claims))
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

    def _replay_waiting(self) -> None:
        """Step 10 for the circs that wait, from the holder that the contract names.

        Rights may be on their way too, so every actor is taken to have them all. After a circ that was reverted, and
        that the node still shows as pending, nothing can be said: what stood on it will fail as well.
        """
        numbers: dict[bytes, int] = {}
        state = custody.GoodsState(self._facts.holder, self._facts.times)
        for circ in self._waiting:
            if (circ.trans_id or "") in self._doomed or circ.circ_type not in _KINDS:
                return
            if not circ.operator or not circ.to:
                return
            kind = CircType(circ.circ_type)
            operator, to = (self._number(name, numbers) for name in (circ.operator, circ.to))
            fault = None
            if kind is CircType.TRANSFER and to == operator:
                fault = "its operator hands the goods to nobody else"
            elif kind in (CircType.PROCESS, CircType.EXAM) and to != operator:
                fault = f"a {kind_name(kind)} goes to nobody"
            elif state.holder == NOBODY and kind is not CircType.PRODUCE:
                fault = "nobody has produced the goods"
            else:
                try:
                    state = custody.next_state(self._goods_id, state, kind, operator, to, _ANY_RIGHTS)
                except CustodyError:
                    fault = f"its operator {quoted(circ.operator)} does not hold the goods"
            if fault is not None:
                self._differ_circ(
                    What.CUSTODY, circ, f"({kind_name(kind)}) can't follow the circs shown before it: {fault}"
                )
                return

    def _number(self, name: str, numbers: dict[bytes, int]) -> int:
        """The actor of a name; names of nobody yet get a number that no actor can have, each its own."""
        digest = name_digest(name)
        known = self._facts.actors.called(digest)
        return known[0] if known else numbers.setdefault(digest, ACTOR_MAX + 1 + len(numbers))

    def _check_count(self, holder: int | None) -> None:
        """Step 11."""
        facts, here = self._facts, len(self._claims)
        for rank, event in enumerate(facts.events or ()):
            if event.place not in self._claims:
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
        found = self._first_produce()
        if found is None:
            if self._claims:
                self._differ(What.PRODUCT, "the first produce circ is not shown: nothing says what the goods are")
            return
        circ, form_holds = found
        if shown.creator is not None and shown.creator != circ.operator:
            self._differ(
                What.CREATOR,
                f"their creator is shown as {quoted(shown.creator)}, the first produce circ's operator is "
                f"{quoted(circ.operator)}",
            )
        if not form_holds:
            return  # step 6 has said that the form is another
        try:
            form = ProduceForm.from_bytes(circ.form)
        except ValueError:
            self._differ_circ(
                What.PRODUCT, circ, "is the first produce of the goods, but its form does not say what was produced"
            )
            return
        for name, said, proven in products(shown, form):
            if said != proven:
                self._differ(
                    What.PRODUCT,
                    f"{name} is shown as {quoted(said)}, the form of the first produce circ says {quoted(proven)}",
                )

    def _first_produce(self) -> tuple[ShownCirc, bool] | None:
        """The circ whose form says what the goods are, and whether the form is the one that the chain has.

        While the chain has none, the first that waits says it, for what that is worth.
        """
        if not self._claims:
            first = self._waiting[0] if self._waiting and not self._facts.times else None
            return None if first is None or first.circ_type != CircType.PRODUCE else (first, True)
        shown = [claim for claim in self._claims.values() if claim.event.circ.circ_type is CircType.PRODUCE]
        produced = [event for event in self._facts.events or () if event.circ.circ_type is CircType.PRODUCE]
        if not shown:
            return None
        first_shown = min(shown, key=lambda claim: claim.event.place)
        if produced and produced[0].place != first_shown.event.place:
            return None
        return first_shown.shown, first_shown.form_holds
