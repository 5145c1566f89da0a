"""The proof of goods' whole history in one file, which outlives the node.

``file`` is the file's form, ``rules`` hold it against nothing but itself, ``trust`` says what is left to believe;
``maker`` asks a node and a chain for all that goes into one. Only ``maker`` and ``trust.ask`` ask anybody.
"""

from node.flow.proof.file import FILE_BYTES_MAX, ProofFile, ProofWrong, read, write
from node.flow.proof.maker import Made, ProofImpossible, make
from node.flow.proof.proven import Proven, ProvenBlock, ProvenCirc
from node.flow.proof.rules import verify
from node.flow.proof.trust import Trust, ask, believe

__all__ = [
    "FILE_BYTES_MAX",
    "Made",
    "ProofFile",
    "ProofImpossible",
    "ProofWrong",
    "Proven",
    "ProvenBlock",
    "ProvenCirc",
    "Trust",
    "ask",
    "believe",
    "make",
    "read",
    "verify",
    "write",
]
