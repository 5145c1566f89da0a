"""The words of CBV 2.0 that circs speak, and which of them a circ is when its form names none."""

from __future__ import annotations

import re
from dataclasses import dataclass

from node.domain.model import CircType
from node.domain.trace import FAIL_WORDS, PASS_WORDS

CBV = "https://ref.gs1.org/cbv/"
CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
EXTENSION = "urn:vtrace:ns:"
NAMESPACES = {"vtrace": EXTENSION, "cbvmda": "urn:epcglobal:cbv:mda:"}
"""The prefixes of every document, beside those that its context has."""
OBJECT_EVENT = "ObjectEvent"
EVENT_TYPES = ("ObjectEvent", "AggregationEvent", "TransactionEvent", "TransformationEvent", "AssociationEvent")
ACTIONS = ("ADD", "OBSERVE", "DELETE")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BIZ_STEPS = _words(
    "accepting arriving assembling collecting commissioning consigning creating_class_instance cycle_counting "
    "decommissioning departing destroying disassembling dispensing encoding entering_exiting holding inspecting "
    "installing killing loading other packing picking receiving removing repackaging repairing replacing reserving "
    "retail_selling sampling sensor_reporting shipping staging_outbound stock_taking stocking storing transporting "
    "unloading unpacking void_shipping"
)
DISPOSITIONS = _words(
    "active available completeness_inferred completeness_verified conformant container_closed container_open damaged "
    "destroyed dispensed disposed encoded expired in_progress in_transit inactive mismatch_class mismatch_instance "
    "mismatch_quantity needs_replacement no_pedigree_match non_conformant non_sellable_other partially_dispensed "
    "recalled reserved retail_sold returned sellable_accessible sellable_not_accessible stolen unavailable "
    "unknown"
)
TRANSACTION_TYPES = _words("bol cert desadv inv pedigree po poc prodorder recadv rma testprd testres upevt")
PARTY_TYPES = _words("owning_party possessing_party location")


@dataclass(frozen=True, slots=True)
class Words:
    """One vocabulary: its terms, their web URIs' beginning, and that of the URNs of CBV 1."""

    terms: frozenset[str]
    web: str
    urn: str

    def bare(self, text: str) -> str | None:
        """The term that a bare word, a web URI, a CURIE or a URN of CBV 1 stands for; None if it is none of these."""
        for beginning in (f"{CBV}{self.web}", f"cbv:{self.web}", self.urn, ""):
            if text.startswith(beginning) and text.removeprefix(beginning) in self.terms:
                return text.removeprefix(beginning)
        return None

    def uri(self, text: str) -> str:
        """The web URI of a term; any other text as it is."""
        term = self.bare(text)
        return text if term is None else f"{CBV}{self.web}{term}"


STEPS = Words(BIZ_STEPS, "BizStep-", "urn:epcglobal:cbv:bizstep:")
STATES = Words(DISPOSITIONS, "Disp-", "urn:epcglobal:cbv:disp:")
TRANSACTIONS = Words(TRANSACTION_TYPES, "BTT-", "urn:epcglobal:cbv:btt:")
PARTIES = Words(PARTY_TYPES, "SDT-", "urn:epcglobal:cbv:sdt:")

STEP_OF_KIND = {
    CircType.PRODUCE: "commissioning",
    CircType.PROCESS: "other",
    CircType.TRANSFER: "shipping",
    CircType.EXAM: "inspecting",
}
STATE_OF_STEP = {
    "commissioning": "active",
    "shipping": "in_transit",
    "departing": "in_transit",
    "transporting": "in_transit",
    "decommissioning": "inactive",
    "destroying": "destroyed",
    "retail_selling": "retail_sold",
}
STATE_OTHERWISE = "in_progress"
ENDING_STEPS = ("decommissioning", "destroying")
"""What these steps do to goods is that they are no more: action DELETE."""

_STEP_WORDS = {
    "arriving": "arrive arriving arrival 到达 到货",
    "assembling": "assemble assembling assembly 组装 装配",
    "collecting": "collect collecting 收集",
    "decommissioning": "decommission decommissioning 注销",
    "departing": "depart departing departure 出发 发车",
    "destroying": "destroy destroying destruction 销毁",
    "disassembling": "disassemble disassembling 拆解",
    "dispensing": "dispense dispensing 分发",
    "encoding": "encode encoding label labelling labeling 贴标 赋码",
    "holding": "hold holding quarantine 扣留 隔离",
    "inspecting": "inspect inspecting inspection 检查 检验",
    "killing": "kill killing slaughter slaughtering 屠宰",
    "loading": "load loading 装车 装货",
    "packing": "pack packing package packaging 包装 装箱",
    "picking": "pick picking 拣货",
    "repackaging": "repack repacking repackaging 重新包装 分装",
    "repairing": "repair repairing 维修",
    "retail_selling": "sell selling sale retail 销售 零售",
    "sampling": "sample sampling 抽样 取样",
    "sensor_reporting": "sensor measure measuring 测量 监测",
    "stocking": "stock stocking 上架",
    "storing": "store storing storage warehouse warehousing 仓储 入库 储存",
    "transporting": "transport transporting transportation 运输",
    "unloading": "unload unloading 卸车 卸货",
    "unpacking": "unpack unpacking 拆箱",
}
STEP_OF_WORD = {word: step for step, words in _STEP_WORDS.items() for word in words.split()}
"""What the member ``step`` of a process's form means, if its first word is here; ``other`` if it isn't."""

STATE_OF_RESULT = dict.fromkeys(PASS_WORDS, "conformant") | dict.fromkeys(FAIL_WORDS, "non_conformant")
"""What the verdict of an exam means."""

URI_LENGTH_MAX = 1_024
_PCHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_URI = re.compile(
    rf"[A-Za-z][A-Za-z0-9+.-]*:(?://[A-Za-z0-9.-]*(?::[0-9]{{1,5}})?(?:/{_PCHAR}*)*|/?{_PCHAR}+(?:/{_PCHAR}*)*)"
    rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
)


def is_uri(text: str) -> bool:
    """Whether this is a URI (RFC 3986), without user information or an address in brackets."""
    return len(text) <= URI_LENGTH_MAX and _URI.fullmatch(text) is not None


def is_own_word(text: str) -> bool:
    """Whether this is a URI that may stand where a term of CBV could: not one that claims to be of CBV."""
    return is_uri(text) and not re.match(r"urn:epcglobal:cbv|cbv:|https?://(?:ns|ref)\.gs1\.org/", text)
