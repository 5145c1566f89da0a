"""The page's own style and script, read once, under addresses that change with their content."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

_NO_GZIP = re.compile(r"(?:gzip|\*)\s*;\s*q=0(?:\.0*)?\s*(?:,|$)", re.ASCII | re.IGNORECASE)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client says that it takes an answer packed by gzip."""
    return "gzip" in accept_encoding.lower() and _NO_GZIP.search(accept_encoding) is None


class Assets:
    """Serves ``/static/{version}/{name}``; the version is of the content, so an answer holds for ever."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in TYPES}
        self._packed = {name: gzip.compress(content, mtime=0) for name, content in self._files.items()}
        self._versions = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in self._files.items()}

    def address(self, name: str) -> str:
        """Where a file is to be had."""
        return f"/static/{self._versions[name]}/{name}"

    async def answer(self, request: Request) -> Response:
        """One HTTP request."""
        name, version = request.path_params["name"], request.path_params["version"]
        headers = {"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
        if self._versions.get(name) != version:
            return Response("not known here\n", 404, headers, "text/plain")
        headers["Cache-Control"] = FOR_EVER
        packed = takes_gzip(request.headers.get("accept-encoding", ""))
        if packed:
            headers["Content-Encoding"] = "gzip"
        content = (self._packed if packed else self._files)[name]
        return Response(content, headers=headers, media_type=TYPES[Path(name).suffix])
