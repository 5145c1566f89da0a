"""Reading files over HTTP from ``{base}/ipfs/{cid}``: a node's own address, or any IPFS gateway."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from node.files.keeper import ContentMissing, KeeperUnavailable

CONNECT_SECONDS = 5
ANSWER_SECONDS = 60
PIECE_BYTES = 256 * 1024


class Gateway:
    """Fetches content. Nothing of it is checked here. ``tls`` says whom to trust if it is https; None: as usual."""

    def __init__(self, base_url: str, tls: ssl.SSLContext | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._session = requests.Session()
        if tls is not None:
            self._session.mount("https://", _Trusting(tls))

    def read(self, cid: str) -> Iterator[bytes]:
        """The bytes under a CID, in pieces. ContentMissing: none to be had; KeeperUnavailable: it can't be asked."""
        url = f"{self._base_url}/ipfs/{cid}"
        headers = {"Accept-Encoding": "identity"}
        try:
            with self._session.get(
                url, stream=True, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), headers=headers
            ) as answer:
                if answer.status_code in (502, 503, 504):
                    raise KeeperUnavailable(f"{url}: HTTP {answer.status_code}")
                if answer.status_code != 200:
                    raise ContentMissing(f"HTTP {answer.status_code} from {self._base_url}")
                yield from answer.iter_content(PIECE_BYTES)
        except (requests.ConnectionError, requests.Timeout) as fault:
            raise KeeperUnavailable(f"{url}: {fault}") from fault
        except requests.RequestException as fault:
            raise ContentMissing(f"{self._base_url} broke off: {fault}") from fault

    def close(self) -> None:
        """Give back the connections."""
        self._session.close()


class _Trusting(HTTPAdapter):
    """Connects as an SSLContext says."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__()

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        """See HTTPAdapter."""
        super().init_poolmanager(*args, **named, ssl_context=self._tls)
