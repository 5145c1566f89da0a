"""Who inherits whom, and what the contract lets each do."""

from __future__ import annotations

import pytest

from node.domain.model import Rights
from node.domain.roles import Role, has, rights_of

INHERITS = {
    "normal": "normal",
    "transporter": "normal transporter",
    "producer": "normal transporter producer",
    "boss": "normal transporter producer boss",
    "examiner": "normal examiner",
    "admin": "normal transporter producer boss examiner admin",
}
CIRCULATE, PRODUCE, EXAMINE = Rights.CIRCULATE, Rights.PRODUCE, Rights.EXAMINE
RIGHTS = {
    "normal": Rights.NONE,
    "transporter": CIRCULATE,
    "producer": CIRCULATE | PRODUCE,
    "boss": CIRCULATE | PRODUCE,
    "examiner": CIRCULATE | EXAMINE,
    "admin": CIRCULATE | PRODUCE | EXAMINE,
}


def test_every_role_is_in_the_tables() -> None:
    assert INHERITS.keys() == RIGHTS.keys() == {role.value for role in Role}


@pytest.mark.parametrize("needed", Role)
@pytest.mark.parametrize("role", Role)
def test_a_role_has_what_it_inherits_and_no_more(role: Role, needed: Role) -> None:
    assert has(role, needed) == (needed.value in INHERITS[role.value].split())


@pytest.mark.parametrize("role", Role)
def test_rights(role: Role) -> None:
    assert rights_of(role) == RIGHTS[role.value]
