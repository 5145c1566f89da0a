"""No value is ever put into SQL text: what is, is known here, and is a name or a piece of SQL of the project's own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

NODE = Path(__file__).resolve().parents[2] / "node"
IS_SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|PRAGMA|CREATE|DROP|ALTER|ATTACH)\b")
HAS_SQL = re.compile(r"\b(FROM|INTO|SET|PRAGMA|TABLE|INDEX|TRIGGER|VALUES)\b")
IS_CONSTANT = re.compile(r"_?[A-Z][A-Z_]*(\.format\(.*\)|\[.*\])?")
PLACES = re.compile(r"t\.places\(len\(\w+\)\)")

KNOWN = {
    "store/changes.py": {"circs", "places", "query", "where", "which_goods"},
    "store/circs.py": {"also", "columns", "of_these"},
    "store/events.py": {"narrowed"},
    "store/logins.py": {"old", "oldest"},
    "store/migrations/0012_personal.py": {"', '.join(kept)", "column", "table", "waiting"},
    "store/outbox.py": {"where"},
    "store/people.py": {"columns", "where"},
    "store/personal.py": {"column"},
    "store/products.py": {"some"},
    "store/rebuild/builder.py": {
        "', '.join('?' * len(columns))",
        "', '.join(columns)",
        "name",
        "names",
        "places",
        "schema",
        "table",
        "target",
    },
    "store/rebuild/circs.py": {"column", "moved", "pending", "table", "which"},
    "store/rebuild/compare.py": {
        "gone",
        "listed",
        "rows.format(gone)",
        "rows.format(there)",
        "schema",
        "table",
        "there",
    },
    "store/rebuild/old.py": {"name", "names", "table"},
    "store/rebuild/people.py": {"columns", "more"},
    "store/rebuild/products.py": {"missing", "of_circ", "of_parent", "somebody", "table", "unknown"},
    "store/rebuild/transactions.py": {"columns", "source", "where"},
    "store/sealed.py": {"column", "key", "table"},
    "store/subject.py": {"table"},
    "store/unsealed.py": {"', '.join(COLUMNS[CONTACT][1])", "columns", "table"},
}
"""Module → the names that its SQL has pieces by. Before one is added: can a caller's value ever be in it? Then it
belongs into the parameters."""


def pieces(module: Path) -> Iterator[str]:
    """What a module puts into SQL text, but for constants and the question marks of parameters."""
    for each in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if not isinstance(each, ast.JoinedStr):
            continue
        text = "".join(part.value for part in each.values if isinstance(part, ast.Constant))
        if IS_SQL.match(text) and HAS_SQL.search(text):
            for part in each.values:
                if isinstance(part, ast.FormattedValue):
                    said = ast.unparse(part.value)
                    if not (IS_CONSTANT.fullmatch(said) or PLACES.fullmatch(said)):
                        yield said


def test_every_piece_of_sql_is_known() -> None:
    found = {
        str(module.relative_to(NODE)): {*pieces(module)} for module in NODE.rglob("*.py") if "wire" not in module.parts
    }
    assert {module: said for module, said in found.items() if said} == KNOWN


def test_a_value_in_sql_text_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "bad.py"
    module.write_text("def user(name):\n    return run(f\"SELECT id FROM user WHERE username = '{name}'\")\n")
    assert [*pieces(module)] == ["name"]
