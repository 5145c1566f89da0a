"""Holding a node's answers against the chain, without trusting the node.

``rules`` (with ``product``) are the rules, ``facts`` and ``shown`` the two sides that they compare, ``findings`` what
comes of it; none of them asks anybody.
``reading`` asks the chain, ``auditor`` runs the audit. Nothing here knows the node's index or how it records.
"""

from node.flow.audit.auditor import Auditor, Progress, Report
from node.flow.audit.files import FileSource
from node.flow.audit.findings import Difference, What, one_line
from node.flow.audit.predictions import Predictions
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
    "AuditImpossible",
    "Auditor",
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
]
