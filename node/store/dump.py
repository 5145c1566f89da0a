"""An index in PostgreSQL, written to a file by the server's own ``pg_dump``, and made from one by ``pg_restore``.

Both programs must be of the server's version or newer. They are told where the server is on their command line, and the
password in their environment, where others on the machine don't see it.
"""

from __future__ import annotations

import os
import shutil
import subprocess  # nosec B404: PostgreSQL's own programs
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import conninfo

from node.errors import IndexUnavailable, SetupError
from node.store.about import About
from node.store.db import HISTORY, has_index
from node.store.pool import Connection
from node.store.postgres import CONNECTING, READ, UNBOUNDED, Postgres, hidden, parts_of, said

PIECE_BYTES = 1024 * 1024
LOCK_WAIT = "30s"
SAID_BYTES_MAX = 2_000
_PLACE = "SELECT pg_export_snapshot(), quote_ident(current_schema()), pg_database_size(current_database())"


class Dump:
    """The index at a URL as it is when this is made, until ``close``. SetupError where there is none."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._database = Postgres(url)
        self._kept: Connection | None = None
        try:
            if not has_index(url):
                raise SetupError(f"{self._database.place}: no node keeps its index there")
            self._kept = self._database.connected()
            self._kept.execute(READ + UNBOUNDED, prepare=False)
            ((self._snapshot, self._schema, self.bytes),) = self._kept.execute(_PLACE).fetchall()
            self.about = _about(self._kept)
        except (psycopg.Error, IndexUnavailable) as fault:
            self.close()
            raise SetupError(_told(self._database.place, fault)) from fault
        except BaseException:
            self.close()
            raise

    def copy(self, target: Path, tell: Callable[[int], None], rest: float) -> None:
        """Write it to the new file ``target``, durable; rests ``rest`` times as long as it works."""
        what = (f"--snapshot={self._snapshot}", f"--schema={self._schema}", f"--lock-wait-timeout={LOCK_WAIT}")
        options = ("--format=custom", "--compress=0", "--no-owner", "--no-privileges", "--no-password", *what)
        with tempfile.TemporaryFile() as told, open(target, "xb", buffering=0, opener=_private) as out:
            command, environment = _command("pg_dump", self._url, options)
            with subprocess.Popen(  # nosec B603: no shell reads it
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=told
            ) as process:
                assert process.stdout is not None
                try:
                    began = time.monotonic()
                    while piece := process.stdout.read(PIECE_BYTES):
                        out.write(piece)
                        os.fdatasync(out.fileno())
                        tell(len(piece))
                        time.sleep(rest * (time.monotonic() - began))
                        began = time.monotonic()
                except BaseException:
                    process.kill()
                    raise
            _refuse_failed("pg_dump", process.returncode, told)

    def close(self) -> None:
        """Let the view go."""
        if self._kept is not None:
            self._kept.close()
        self._database.close_all()


def refuse_taken(url: str) -> None:
    """SetupError for a database that no index can be restored to."""
    database = Postgres(url)
    try:
        database.look()
        if has_index(url):
            raise SetupError(f"{database.place}: has an index already; name an empty database, or drop that one")
    except IndexUnavailable as fault:
        raise SetupError(_told(database.place, fault)) from fault
    finally:
        database.close_all()


def restore_dump(url: str, source: Path) -> About:
    """Make the index from a file, in one transaction; answers what it then says of itself.

    It goes into a schema of the same name, which is there already.
    """
    how = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password")
    command, environment = _command("pg_restore", url, (*how, f"--schema={_schema(url)}"))
    with tempfile.TemporaryFile() as told:
        done = subprocess.run(  # nosec B603: no shell reads it
            [*command, str(source)], env=environment, stdin=subprocess.DEVNULL, stdout=told, stderr=told, check=False
        )
        _refuse_failed("pg_restore", done.returncode, told)
    database = Postgres(url)
    try:
        kept = database.connected()
        try:
            return _about(kept)
        finally:
            kept.close()
    except (psycopg.Error, IndexUnavailable) as fault:
        raise SetupError(_told(database.place, fault)) from fault
    finally:
        database.close_all()


def _schema(url: str) -> str:
    database = Postgres(url)
    try:
        ((name,),) = database.execute_sql("SELECT current_schema()").fetchall()
        return str(name)
    except IndexUnavailable as fault:
        raise SetupError(_told(database.place, fault)) from fault
    finally:
        database.close_all()


def _about(kept: Connection) -> About:
    ((schema,),) = kept.execute(f"SELECT max(name) FROM {HISTORY}").fetchall()
    settings: dict[str, str] = dict(
        kept.execute("SELECT name, value FROM setting WHERE name IN ('chain_id', 'contract')").fetchall()
    )
    return About(str(schema), settings.get("chain_id", ""), settings.get("contract", ""))


def _command(name: str, url: str, options: tuple[str, ...]) -> tuple[list[str], Mapping[str, str]]:
    program = shutil.which(name)
    if program is None:
        raise SetupError(f"{name}: not found; install PostgreSQL's client programs, of the server's version or newer")
    parts: dict[str, Any] = {**CONNECTING, **parts_of(url)}
    if "sslpassword" in parts:
        raise SetupError("--db: everybody on this machine would see its sslpassword; name a key without one")
    password = parts.pop("password", None)
    environment = os.environ if password is None else {**os.environ, "PGPASSWORD": str(password)}
    return [program, *options, f"--dbname={conninfo.make_conninfo(**parts)}"], environment


def _refuse_failed(name: str, code: int, told: IO[bytes]) -> None:
    if code:
        told.seek(0)
        text = hidden(told.read(SAID_BYTES_MAX).decode(errors="replace"))
        raise SetupError(f"{name}: {' '.join(text.split()) or f'exit {code}'}")


def _told(place: str, fault: Exception) -> str:
    return f"{place}: {said(fault)}" if isinstance(fault, psycopg.Error) else f"--db: {fault}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
