"""A PostgreSQL server for tests: its own, on a socket in a folder of its own, which need not wait for the disk."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.support.node import eventually

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
ROLE = "vtrace"
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "max_connections": "60",
    "log_min_messages": "warning",
}
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class NoServer(Exception):
    """PostgreSQL is not installed."""


def _program(name: str) -> str:
    """A program of the server, which Debian keeps off the PATH."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = shutil.which(name) or next((str(path) for path in beside), None)
    if found is None:
        raise NoServer(f"{name} of PostgreSQL 14 or newer not found: install the server (Debian: postgresql)")
    return found


def find_programs() -> None:
    """NoServer where PostgreSQL is not installed."""
    for name in ("initdb", "postgres"):
        _program(name)


def _user() -> dict[str, Any]:
    """The server refuses to run as root: then somebody else owns its folder and its processes."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class Server:
    """A running server. Databases are copies of one that was made before, which takes some 30 ms."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.folder = folder
        self._settings = SETTINGS if durable else SETTINGS | FORGETFUL
        self._data = folder / "data"
        self._as = _user()
        self._numbers = itertools.count(1)
        if self._as:
            os.chown(folder, self._as["user"], self._as["group"])
        self._run(
            *(_program("initdb"), "-D", self._data, "-U", ROLE, "--auth=trust", "--no-sync"),
            *("--encoding=UTF8", "--locale=C.UTF-8"),
        )
        self.process: subprocess.Popen[bytes]
        self.start()

    def _run(self, *command: Any) -> None:
        given = [str(word) for word in command]
        done = subprocess.run(given, capture_output=True, text=True, cwd=self.folder, check=False, **self._as)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        command = [_program("postgres"), "-D", str(self._data), "-k", str(self.folder), *settings]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder, **self._as
            )
        eventually(self._answers, START_SECONDS_MAX)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            with self.admin():
                return True
        except psycopg.OperationalError:
            return False

    def admin(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database), autocommit=True)

    def url(self, database: str) -> str:
        return f"postgresql://{ROLE}@/{database}?host={self.folder}"

    def database(self, template: str = "template0") -> str:
        """A new database; answers its name."""
        name = f"t{next(self._numbers)}"
        with self.admin() as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        with self.admin() as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def asking_for_passwords(self, role: str, password: str) -> Iterator[str]:
        """A role that must say its password, for the length of a block; gives a URL without it."""
        rules = self._data / "pg_hba.conf"
        before = rules.read_text()
        with self.admin() as admin:
            admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
            rules.write_text(f"local all {role} scram-sha-256\n{before}")
            admin.execute("SELECT pg_reload_conf()")
            try:
                yield f"postgresql://{role}@/postgres?host={self.folder}"
            finally:
                rules.write_text(before)
                admin.execute("SELECT pg_reload_conf()")
                admin.execute(f"DROP ROLE {role}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends all sessions at once, SIGQUIT does not even write what is to be kept."""
        self.process.send_signal(how)
        self.process.wait(STOP_SECONDS_MAX)


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[Server]:
    """A server for the length of a block. Only a ``durable`` one writes to the disk what it has committed."""
    # A socket's path is short, so not pytest's folder.
    with tempfile.TemporaryDirectory(prefix="vt-pg-") as folder:
        os.chmod(folder, 0o755)
        server = Server(Path(folder), durable=durable)
        try:
            yield server
        finally:
            server.stop()
