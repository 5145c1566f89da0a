"""Run by the environment of epcis-event-hash-generator: documents on stdin, a line each; answers a line of hashes each.

Version 1.9.3 sorts destinationList before sourceList, as it sorts every field that it has no place for. CBV 2.0 has
them in the other order, and so does the generator's own later source. So where an event has both, they are put right
in its pre-hash string before that is hashed; ``turned`` counts these events. Nothing else is changed.
"""

from __future__ import annotations

import json
import sys

from epcis_event_hash_generator.hash_generator import (
    calculate_hashes_from_pre_hashes,
    derive_prehashes_from_events,
)
from epcis_event_hash_generator.json_to_py import event_list_from_epcis_document_json

DESTINATIONS, SOURCES = "destinationListtype=", "sourceListtype="


def put_right(pre_hash: str) -> str:
    """The two lists in the order of CBV 2.0; what isn't before or behind them stays."""
    first, second = pre_hash.find(DESTINATIONS), pre_hash.find(SOURCES)
    if not 0 <= first < second:
        return pre_hash
    found = pre_hash.find("{", second)
    end = found if found >= 0 else len(pre_hash)
    return pre_hash[:first] + pre_hash[second:end] + pre_hash[first:second] + pre_hash[end:]


def main() -> None:
    """Judge every line."""
    for line in sys.stdin:
        document = json.loads(line)
        found = derive_prehashes_from_events(event_list_from_epcis_document_json(document))
        right = [put_right(one) for one in found]
        turned = sum(one != other for one, other in zip(found, right, strict=True))
        hashes = calculate_hashes_from_pre_hashes(right)
        print(json.dumps({"hashes": hashes, "turned": turned}), flush=True)


if __name__ == "__main__":
    main()
