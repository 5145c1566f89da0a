"""Envoy for the tests, if it can be installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.http import servers
from tests.support.environment import environment


@pytest.fixture(scope="session")
def envoy_python() -> Path:
    python = environment(servers.ENVOY_HOME, servers.ENVOY)
    if python is None:
        pytest.skip(f"{servers.ENVOY} can't be installed here, so nothing is compared with Envoy")
    return python
