"""The HTTP server's socket."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from node.clock import now_micros
from node.flow.rates import Rates
from node.page.site import Site


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_head() -> None:
    async def unused(*_: Any) -> None: ...

    files: Any = None
    ends: Any = SimpleNamespace(answer=unused, describe=unused)
    trace: Any = SimpleNamespace(answer=unused, assets=SimpleNamespace(answer=unused))
    epcis: Any = SimpleNamespace(answer=unused)
    site = Site("127.0.0.1:0", None, files, trace, ends, ends, unused, epcis, unused, Rates(now_micros))
    try:
        with socket.create_connection(("127.0.0.1", site.port), 10), site._socket.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        site.stop()
