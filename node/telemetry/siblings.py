"""The processes of one node on one machine, which tell each other their figures: a scrape of one sees all.

Each listens on a socket in the data directory, so nobody else can ask. One that is gone or stuck is left out.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from node.measures import Figure, Spread

ANSWER_SECONDS_MAX = 2.0
ANSWER_BYTES_MAX = 8 * 1024 * 1024
SUFFIX = ".sock"
BACKLOG = 8

log = logging.getLogger(__name__)


class Siblings:
    """This process among the others. ``own`` are its figures, ``worker`` its number."""

    def __init__(self, folder: Path, worker: str, own: Callable[[], Sequence[Figure]]) -> None:
        self._worker = worker
        self._own = own
        folder.mkdir(mode=0o700, exist_ok=True)
        # Paths of sockets are short; through the folder's descriptor every path is.
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._name = f"{worker}{SUFFIX}"
        with suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._folder)  # of one that was killed
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self._path(self._name))
        self._socket.listen(BACKLOG)
        self._thread = threading.Thread(target=self._serve, name="figures", daemon=True)

    def start(self) -> None:
        """Tell the others from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Tell them no more."""
        with suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._folder)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(ANSWER_SECONDS_MAX)
        self._socket.close()
        os.close(self._folder)

    def others(self) -> dict[str, Sequence[Figure]]:
        """The figures of all others that answer, by their numbers."""
        found: dict[str, Sequence[Figure]] = {}
        for name in sorted(os.listdir(self._folder)):
            if name.endswith(SUFFIX) and name != self._name:
                try:
                    found[name.removesuffix(SUFFIX)] = _read(self._ask(name))
                except (OSError, ValueError, KeyError, TypeError) as fault:
                    log.debug("worker %s tells no figures: %s", name, fault)
        return found

    def _path(self, name: str) -> str:
        return f"/proc/self/fd/{self._folder}/{name}"

    def _ask(self, name: str) -> bytes:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(ANSWER_SECONDS_MAX)
            asked.connect(self._path(name))
            answer = bytearray()
            while piece := asked.recv(65_536):
                answer += piece
                if len(answer) > ANSWER_BYTES_MAX:
                    raise ValueError(f"more than {ANSWER_BYTES_MAX} bytes")
            return bytes(answer)

    def _serve(self) -> None:
        while True:
            try:
                asking, _ = self._socket.accept()
            except OSError:
                return  # it was stopped
            with asking, suppress(OSError):
                asking.settimeout(ANSWER_SECONDS_MAX)
                asking.sendall(_written(self._own()))


def _written(figures: Sequence[Figure]) -> bytes:
    def plain(value: float | Spread) -> Any:
        return [value.bounds, value.up_to, value.total] if isinstance(value, Spread) else value

    rows = [
        [each.name, each.help, each.kind, [[dict(labels), plain(value)] for labels, value in each.values]]
        for each in figures
    ]
    return json.dumps(rows).encode()


def _read(text: bytes) -> list[Figure]:
    def value(plain: Any) -> float | Spread:
        if not isinstance(plain, list):
            return float(plain)
        bounds, up_to, total = plain
        return Spread(tuple(bounds), tuple(up_to), total)

    return [
        Figure(name, help_, kind, tuple((labels, value(plain)) for labels, plain in values))
        for name, help_, kind, values in json.loads(text)
    ]
