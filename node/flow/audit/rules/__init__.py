"""The rules by which what a node shows of goods is held against what the chain says. No I/O.

Steps 1 and 2 are the auditor's: to ask the chain and the node. These are the rules, in the order in which they
are kept; each module of this package has those that its own docstring names:

3.  each circ is whole: its goods, kind, names, salt, hashes, status and time of record are there and have their form;
4.  each circ shown as success has a transaction, mined in a block of the chain, in which the contract took it. One
    shown as pending may have none yet, but what the chain settled long ago isn't pending any more. One shown as
    failed must not have happened; if its transaction is there, it is the operator's own attempt at this circ;
5.  the event of that transaction, emitted by the contract, names these goods, and no circ is shown twice. Anybody
    may send a circ, so tx_hash may be a stranger's transaction; what trans_id names is, if the chain knows it, a call
    for the same circ. What the chain doesn't know of is counted, since nothing proves it;
6.  the event's kind, operator and receiver are those shown, and its digest is that of the shown salt and form. A form
    that the node says to have forgotten is counted, since nobody can check it;
7.  the operator's account, as it was then, signed exactly this circ. That is looked at where the transaction calls
    the contract directly. Where another contract made the call, the signature can't be read from the calldata, and
    the log proves it: code with the known hash emits it only after it has checked the signature;
8.  the usernames are those under which operator and receiver were registered, and of one actor only;
9.  the order is the chain's, and ``times`` counts it from 0. The times of record go with it (recorded.py);
10. custody goes from holder to holder, and on through the circs that wait, as far as names and kinds tell;
11. no circ is left out: the contract's ``times`` and holder of the goods are those of the circs shown, no goods are
    shown without a circ, and what the contract refused is not hidden either, as far as the chain's blocks were read;
12. class, serial and org are those of the first produce circ's form, the goods' creator is its operator.

What was mined after the audited block, and what is not mined yet, waits: it is counted as pending, and judged
by the audit of a later block.
"""

from __future__ import annotations

from node.flow.audit.facts import Facts
from node.flow.audit.findings import Verdict, What
from node.flow.audit.rules import circ, history, product, refused, waiting
from node.flow.audit.rules.case import LATE_BLOCKS, Case, Claim
from node.flow.audit.shown import ShownCirc, ShownGoods

__all__ = ["LATE_BLOCKS", "judge"]


def judge(goods_id: int, shown: ShownGoods | None, facts: Facts, late_blocks: int = LATE_BLOCKS) -> Verdict:
    """Hold what the node shows of one goods against what the chain says."""
    case = Case(goods_id, facts, late_blocks)
    if shown is None:
        case.differ(
            11, What.UNKNOWN_GOODS, f"the node does not know them; the contract counts {facts.times} circs of them"
        )
        return case.verdict(fresh=False)
    taken: list[Claim | ShownCirc] = []
    for index, each in enumerate(shown.circs):
        found = circ.take(case, index, each)
        if found is not None:
            taken.append(found)
    history.check_order(case, taken)
    holder = history.replay(case)
    waiting.replay(case)
    history.check_count(case, holder)
    refused.check_hidden(case, shown)
    if not shown.circs and not facts.times:
        case.differ(
            11, What.NO_CIRC, "are shown without any circ, and the contract has taken none: nothing says that they are"
        )
    product.check(case, shown)
    return case.verdict(fresh=not facts.times)
