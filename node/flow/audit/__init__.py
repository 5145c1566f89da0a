"""Holding a node's answers against the chain, without trusting the node.

The steps are numbered in ``auditor`` and in ``rules``. ``rules`` is pure, ``facts``, ``ledger`` and ``shown`` are the
sides that it compares, ``findings`` and ``report`` what comes of it; none of them asks anybody. ``endpoints``,
``replay`` and ``reading`` ask the chain, ``callers`` the node, ``checkpoint`` keeps a replay, ``run`` goes through the
goods. Nothing here knows the node's index or how it records.
"""

from node.flow.audit.auditor import Auditor
from node.flow.audit.endpoints import AgreedChain, ChainView
from node.flow.audit.files import FileSource
from node.flow.audit.findings import Difference, What, one_line
from node.flow.audit.predictions import Predictions
from node.flow.audit.replay import Progress
from node.flow.audit.report import Report, unchecked_json
from node.flow.audit.shown import (
    AuditImpossible,
    NodeView,
    ShownCirc,
    ShownClass,
    ShownGoods,
    ShownSerial,
    Unanswered,
    Unreadable,
)

__all__ = [
    "AgreedChain",
    "AuditImpossible",
    "Auditor",
    "ChainView",
    "Difference",
    "FileSource",
    "NodeView",
    "Predictions",
    "Progress",
    "Report",
    "ShownCirc",
    "ShownClass",
    "ShownGoods",
    "ShownSerial",
    "Unanswered",
    "Unreadable",
    "What",
    "one_line",
    "unchecked_json",
]
