"""How the log's lines look."""

from __future__ import annotations

import logging
import sys

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_logging(worker: int | None = None) -> None:
    """Log to stderr; the lines of one of several processes tell its number."""
    shown = LOG_FORMAT if worker is None else LOG_FORMAT.replace("%(name)s", f"worker {worker} %(name)s")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=shown)
