"""The house keeps its layers: who may import whom, read from the imports themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NODE = ROOT / "node"

BASE = {"errors", "clock", "faults", "later", "request_id", "calling", "measures"}
ROOMS = {"store", "chain", "files", "models"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "clock": set(),
    "faults": set(),
    "later": set(),
    "calling": set(),
    "measures": set(),
    "request_id": set(),
    "config": {"errors"},
    "tls": {"errors"},
    "domain": {"errors"},
    "store": {"domain", *BASE},
    "chain": {"domain", *BASE},
    "files": {"domain", *BASE},
    "models": {"domain", "wire", *BASE},
    "codes": {"domain", *BASE},
    "flow": {"domain", *ROOMS, *BASE},
    "api": {"flow", "domain", "wire", "tls", *BASE},
    "page": {"flow", "codes", "domain", "chain", "config", "tls", *BASE},
    "claim": {"config", "errors"},
    "unlocking": {"config", "store", *BASE},
    "opening": {"claim", "unlocking", "flow", "config", "chain", "files", "store", *BASE},
    "telemetry": BASE,
    "operation": {"telemetry", "api", "page", "flow", "config", "store", *BASE},
    "catching_up": {"opening", "config", "chain", "flow", *BASE},
    "backup": {"config", "store", *BASE},
    "app": {
        *(
            "operation",
            "catching_up",
            "claim",
            "opening",
            "unlocking",
            "api",
            "page",
            "flow",
            "domain",
            "config",
            "tls",
        ),
        *ROOMS,
        *BASE,
    },
    "cli": {
        *("app", "catching_up", "claim", "opening", "unlocking", "api", "models", "codes", "flow", "domain", "chain"),
        *("files", "config", "backup", "telemetry", *BASE),
    },
}
"""room or module at the top of node/ → what of node/ it may import beside itself."""

ONLY_IN: dict[str, set[str]] = {
    "peewee": {"store"},
    "playhouse": {"store"},
    "psycopg": {"store"},
    "requests": {"files"},
    "urllib3": {"chain", "files"},
    "rlp": {"chain"},
    "sha3": {"chain"},
    "trie": {"chain"},
    "coincurve": {"chain"},
    "eth_account": set(),
    "eth_keys": {"chain"},
    "eth_utils": {"chain"},
    "eth_bloom": {"chain"},
    "eth": {"chain"},
    "eth_abi": {"chain"},
    "websockets": {"chain"},
    "google": {"api"},
    "grpc": {"api", "models"},
    "starlette": {"page"},
    "prometheus_client": {"telemetry"},
    "opentelemetry": {"telemetry"},
    "uvicorn": {"page"},
    "h11": {"page"},
    "jinja2": {"page"},
    "swagger_ui_bundle": {"page"},
    "jwt": {"api"},
    "argon2": {"flow"},
    "zxcvbn": {"flow"},
    "multipart": {"api"},
    "numpy": {"models"},
    "onnxruntime": {"models"},
    "jcamp": {"models"},
    "segno": {"codes"},
    "fpdf": {"codes"},
    "fontTools": {"codes"},
    "PIL": {"codes"},
    "pylopdf_fonts_zh_cn": {"codes"},
    "aleph_cid": {"files"},
    "filetype": {"files"},
    "ipfshttpclient": {"files"},
}
"""outside library → the rooms that may see it."""

STANDARD_ONLY = {"domain", "errors", "clock", "faults", "later", "request_id", "calling", "measures", "config", "tls"}


def _modules() -> list[Path]:
    return sorted(path for path in NODE.rglob("*.py") if "wire" not in path.relative_to(NODE).parts)


def _room(path: Path) -> str:
    return path.relative_to(NODE).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Import):
            found.update(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"{path}: relative import"
            assert statement.module is not None
            if statement.module == "node" and [alias.name for alias in statement.names] == ["__version__"]:
                continue
            if statement.module == "node":
                found.update(f"node.{alias.name}" for alias in statement.names)
            else:
                found.add(statement.module)
    return found


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(NODE)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    room = _room(path)
    if room == "__init__":
        assert _imports(path) == set()
        return
    for name in _imports(path):
        top, _, rest = name.partition(".")
        if top == "node":
            other = rest.split(".")[0]
            assert other in MAY_IMPORT[room] | {room}, f"{room} imports {name}"
        elif top in ONLY_IN:
            assert room in ONLY_IN[top], f"{room} imports {name}"


@pytest.mark.parametrize("path", [p for p in _modules() if _room(p) in STANDARD_ONLY], ids=str)
def test_the_rules_use_the_standard_library_alone(path: Path) -> None:
    import sys

    for name in _imports(path):
        top = name.split(".")[0]
        assert top == "node" or top in sys.stdlib_module_names, f"{path} imports {name}"


def test_every_room_has_a_row() -> None:
    rooms = {_room(path) for path in _modules()} - {"__init__"}
    assert rooms <= set(MAY_IMPORT)


def test_auditor_and_proofs_need_nothing_of_the_node() -> None:
    """They could be run by somebody who has no node: no store, no recording."""
    for path in _modules():
        within = path.relative_to(NODE).parts
        if within[0] == "flow" and within[1] in ("audit", "proof"):
            own = {name for name in _imports(path) if name.startswith("node.")}
            may = ("node.flow.audit", "node.flow.proof", "node.chain", "node.files", "node.domain")
            may += ("node.errors", "node.clock")
            assert not [name for name in own if not name.startswith(may)], path


@pytest.mark.parametrize(
    "name", ["flow/proof/rules", "flow/proof/file", "flow/proof/proven", "chain/merkle", "chain/envelope"]
)
def test_a_proof_is_verified_without_asking_anybody(name: str) -> None:
    imported = _imports(NODE / f"{name}.py")
    assert not imported & {
        "node.chain.rpc",
        "node.chain.transport",
        "node.chain.sealed",
        "urllib3",
        "requests",
        "socket",
    }
