"""What the process logs, as lines of text or of JSON, with the request that each line belongs to.

Nothing personal is in them: users are told by their names in the protocol, which hold none, and what an exception says
while a call is answered is left out unless it is known not to quote what the caller sent. Its type and places stay.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from node import calling, request_id
from node.calling import Calling

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)
LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CALLS = "node.calls"
"""The logger of the lines that tell of calls, one each."""
MESSAGE_CHARACTERS_MAX = 4_000
FRAMES_MAX = 30
CAUSES_MAX = 5
QUOTES_NOTHING = (OSError, MemoryError, RecursionError)
_ROOT = Path(__file__).resolve().parents[2]

Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

_calls = logging.getLogger(CALLS)
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def speak(form: str, worker: str = "") -> None:
    """Log in this form from now on, on all that is logged to; ``worker`` tells apart the processes of one node."""
    formatter = JsonLines(worker) if form == JSON else TextLines(worker)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)


def tell_call(call: Calling, status: str, seconds: float) -> None:
    """A line for a call that has ended."""
    told = {"rpc": call.rpc, "status": status, "seconds": round(seconds, 6), "request": call.request_id}
    if call.user:
        told["user"] = call.user
    if call.trans_ids:
        told["trans_ids"] = call.trans_ids
    _calls.info("%s %s", call.rpc, status, extra={"told": told})


class TextLines(logging.Formatter):
    """Lines for people."""

    def __init__(self, worker: str = "") -> None:
        super().__init__(LINE.replace("%(name)s", f"worker {worker} %(name)s") if worker else LINE)

    def format(self, record: logging.LogRecord) -> str:
        """The lines, without an exception's text that another formatter left in the record."""
        record.exc_text = None
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """One line, with the request that it belongs to."""
        line = super().formatMessage(record)
        request = request_id.current()
        return f"{line} [request {request}]" if request else line

    def formatException(self, ei: Raised) -> str:
        """An exception, without what it may quote."""
        lines = []
        for fault in _faults(ei[1]):
            lines += [f"{fault['type']}: {fault.get('text', '(its text is left out)')}"]
            lines += [f"  {place}" for place in fault["at"]]
        return "\n".join(lines)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what is known of request, rpc, user and trans_ids."""

    def __init__(self, worker: str = "") -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:MESSAGE_CHARACTERS_MAX],
        }
        if self._worker:
            line["worker"] = self._worker
        line |= getattr(record, "told", None) or _circumstances()
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _faults(record.exc_info[1])
        return _encode(line)


def _circumstances() -> dict[str, Any]:
    """The call that this thread works for."""
    call = calling.current()
    if call is None:
        request = request_id.current()
        return {"request": request} if request else {}
    known = {"request": call.request_id, "rpc": call.rpc, "user": call.user, "trans_ids": call.trans_ids}
    return {name: value for name, value in known.items() if value}


def _faults(fault: BaseException | None) -> list[dict[str, Any]]:
    """An exception and what it came from: type, text where it may be told, and places, the innermost last."""
    found: list[dict[str, Any]] = []
    while fault is not None and len(found) < CAUSES_MAX:
        one: dict[str, Any] = {"type": f"{type(fault).__module__}.{type(fault).__qualname__}"}
        if _may_be_told(fault):
            one["text"] = str(fault)[:MESSAGE_CHARACTERS_MAX]
        frames = traceback.extract_tb(fault.__traceback__)[-FRAMES_MAX:]
        one["at"] = [f"{_short(each.filename)}:{each.lineno} in {each.name}" for each in frames]
        found.append(one)
        fault = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
    return found


def _may_be_told(fault: BaseException) -> bool:
    if calling.current() is None and not request_id.current():
        return True
    is_own = type(fault).__module__.partition(".")[0] == "node"
    return is_own or isinstance(fault, QUOTES_NOTHING) or type(fault).__name__ == "OperationalError"


def _short(filename: str) -> str:
    """A file within the package or the folder that it was installed to."""
    for folder in (str(_ROOT), *sys.path):
        if folder and filename.startswith(f"{folder}/"):
            return filename[len(folder) + 1 :]
    return filename
