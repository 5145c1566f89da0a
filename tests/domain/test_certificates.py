"""Which user a client certificate stands for."""

from __future__ import annotations

import pytest

from node.domain.certificates import username_in


def test_the_uri_names_the_user() -> None:
    assert username_in(["spiffe://x/y", "vtrace:user:u0123456789abcdef"]) == "u0123456789abcdef"
    assert username_in(["vtrace:user:u1", "vtrace:user:u1"]) == "u1"
    assert username_in(["spiffe://vtrace:user:u1", "VTRACE:USER:u1"]) is None
    assert username_in([]) is None


def test_a_certificate_of_several_users_is_nobodys() -> None:
    with pytest.raises(ValueError, match="several users"):
        username_in(["vtrace:user:a", "vtrace:user:b"])


@pytest.mark.parametrize("name", ["", "a b", "é", "a/b", "a" * 65, "a:b"])
def test_a_name_that_no_user_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no username"):
        username_in([f"vtrace:user:{name}"])
