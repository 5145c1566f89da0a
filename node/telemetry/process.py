"""What the system says of this process, as figures under the names that Prometheus' dashboards know."""

from __future__ import annotations

import os
import resource
import threading
import time
from contextlib import suppress
from pathlib import Path

from node import __version__
from node.measures import Figure, counter, gauge

_BEGAN = time.time()
_SELF = Path("/proc/self")


def process_figures() -> list[Figure]:
    """Memory, processor time, files and threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [
        gauge("vtrace_build_info", "1, with the version.", 1, version=__version__),
        counter("process_cpu_seconds_total", "Processor time.", used.ru_utime + used.ru_stime),
        gauge("process_start_time_seconds", "When it started, seconds since 1970.", _BEGAN),
        gauge("process_resident_memory_bytes", "Memory that it has.", _resident()),
        gauge("process_open_fds", "Open files and connections.", _open_files()),
        gauge("process_max_fds", "How many it may have.", soft),
        gauge("process_threads", "Threads of Python.", threading.active_count()),
    ]


def _resident() -> float | None:
    with suppress(OSError, ValueError, IndexError):
        pages = int((_SELF / "statm").read_text().split()[1])
        return float(pages * os.sysconf("SC_PAGE_SIZE"))
    return None


def _open_files() -> float | None:
    with suppress(OSError):
        return float(len(os.listdir(_SELF / "fd")))
    return None
