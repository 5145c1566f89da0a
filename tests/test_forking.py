"""Processes of the tests that are forks are ended like others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.support.forking import Forked


def test_one_that_has_ended_takes_signals_before_its_code_is_told() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    told, tell = os.pipe()
    os.write(tell, b"%d\n" % ended.pid)
    process = Forked(told, None)
    process.send_signal(signal.SIGTERM)
    assert process.returncode is None
    os.write(tell, b"0\n")
    os.close(tell)
    assert process.wait(60) == 0
