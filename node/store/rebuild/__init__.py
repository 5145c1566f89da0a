"""Building an index anew beside the old one. Plain SQL: both are open at once, and one of them may be damaged."""

from node.store.rebuild.builder import KnownForm, Rebuild
from node.store.rebuild.circs import ChainCirc
from node.store.rebuild.compare import Difference, compare
from node.store.rebuild.files import Places, put_in_place
from node.store.rebuild.old import OldIndex
from node.store.rebuild.people import OldActor
from node.store.rebuild.products import UNKNOWN
from node.store.rebuild.transactions import Mined, OldTransaction

__all__ = [
    "UNKNOWN",
    "ChainCirc",
    "Difference",
    "KnownForm",
    "Mined",
    "OldActor",
    "OldIndex",
    "OldTransaction",
    "Places",
    "Rebuild",
    "compare",
    "put_in_place",
]
