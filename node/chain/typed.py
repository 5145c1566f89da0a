"""What is signed by EIP-712, as the JSON that eth_signTypedData_v4 takes."""

from __future__ import annotations

import json
from typing import Any, Final

from eth_utils.address import to_checksum_address

from node.chain.contract import NAME, VERSION
from node.domain import bounded_json
from node.domain.model import Circ, CircType, Range

_DOMAIN: Final = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ]
}
_CIRC: Final = {
    "Circ": [
        {"name": "goods", "type": "Range[]"},
        {"name": "circType", "type": "uint8"},
        {"name": "operator", "type": "uint32"},
        {"name": "to", "type": "uint32"},
        {"name": "formDigest", "type": "bytes32"},
        {"name": "version", "type": "uint256"},
    ],
    "Range": [{"name": "first", "type": "uint32"}, {"name": "count", "type": "uint32"}],
}
_ACCOUNT: Final = {"Account": [{"name": "actor", "type": "uint32"}, {"name": "account", "type": "address"}]}


def circ_json(chain_id: int, contract_address: str, circ: Circ) -> str:
    """The typed data that the operator of a circ signs."""
    message = {
        "goods": [{"first": span.first, "count": span.count} for span in circ.goods],
        "circType": int(circ.circ_type),
        "operator": circ.operator,
        "to": circ.to,
        "formDigest": "0x" + circ.form_digest.hex(),
        "version": circ.version,
    }
    return _json(chain_id, contract_address, _CIRC, "Circ", message)


def account_json(chain_id: int, contract_address: str, actor: int, account: str) -> str:
    """The typed data that a new account of an actor signs to prove possession."""
    message = {"actor": actor, "account": to_checksum_address(account)}
    return _json(chain_id, contract_address, _ACCOUNT, "Account", message)


def read_circ(text: str) -> tuple[int, str, Circ]:
    """Chain id, contract and circ of what ``circ_json`` gives; ValueError for any text that it would not give."""
    try:
        given = bounded_json.loads(text)
        domain, message = given["domain"], given["message"]
        circ = Circ(
            tuple(Range(int(span["first"]), int(span["count"])) for span in message["goods"]),
            CircType(message["circType"]),
            int(message["operator"]),
            int(message["to"]),
            bytes.fromhex(message["formDigest"][2:]),
            int(message["version"]),
        )
        chain_id, contract_address = int(domain["chainId"]), str(domain["verifyingContract"])
        same = circ_json(chain_id, contract_address, circ) == text
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as fault:
        raise ValueError(f"not the typed data of a circ: {fault!r}") from fault
    if not same:
        raise ValueError("not the typed data of a circ: it says more, or says it otherwise")
    return chain_id, contract_address, circ


def _json(chain_id: int, contract_address: str, types: dict[str, Any], primary: str, message: dict[str, Any]) -> str:
    domain = {
        "name": NAME,
        "version": VERSION,
        "chainId": chain_id,
        "verifyingContract": to_checksum_address(contract_address),
    }
    whole = {"types": _DOMAIN | types, "primaryType": primary, "domain": domain, "message": message}
    return json.dumps(whole, separators=(",", ":"))
