"""One deployed contract for all tests; each works on a fork of its own."""

from __future__ import annotations

import pytest

from .ledger import Ledger


@pytest.fixture(scope="session")
def deployed() -> Ledger:
    """The contract with actors 1 to 3, each with every right."""
    ledger = Ledger()
    for _ in range(3):
        ledger.register()
    return ledger


@pytest.fixture
def ledger(deployed: Ledger) -> Ledger:
    """A fork of the deployed contract."""
    return deployed.fork()
