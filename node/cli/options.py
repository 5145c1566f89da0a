"""What options and commands have in common."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from node.config import SQLITE, Config, GivenKey, KeyCommand
from node.errors import SetupError

EXIT_DIFFERENCES = 1
EXIT_COULD_NOT_CHECK = 2

T = TypeVar("T")

RPC = "URL of a JSON-RPC endpoint of the chain; the embedded chain's is http://HOST:PORT/rpc of the node's HTTP."


def option(flag: str, *names: str, **settings: Any) -> Callable[[Any], Any]:
    """An option that can also be set in the environment: --data-dir is VTRACE_DATA_DIR, whatever the command."""
    variable = f"VTRACE_{flag.removeprefix('--').replace('-', '_').upper()}"
    return click.option(flag, *names, envvar=variable, show_envvar=True, **settings)


class Size(click.ParamType[int]):
    """A number of bytes, with KiB, MiB or GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """``512MiB`` as 536870912."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,15})(?:([KMG])iB)?", value.strip(), re.ASCII)
        if not found:
            self.fail(f"{value}: want a number of bytes such as 1048576, 512MiB or 1GiB", param, ctx)
        scale: int = 1024 ** " KMG".index(found[2] or " ")
        return int(found[1]) * scale


class Gwei(click.ParamType[int]):
    """An amount in gwei, as wei."""

    name = "gwei"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """``1.5`` as 1500000000."""
        if isinstance(value, int):
            return value
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", value.strip(), re.ASCII):
            self.fail(f"{value}: want gwei such as 30 or 0.5", param, ctx)
        return int(Decimal(value.strip()) * 10**9)


DATA_DIR = option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("vtrace-data"),
    show_default=True,
    help="Where the node keeps everything; made at first start.",
)


class DatabasePlace(click.ParamType[str]):
    """Where the index is. A password may stand in the environment alone."""

    name = "sqlite|url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value as it is."""
        source = None if param is None or ctx is None else ctx.get_parameter_source(str(param.name))
        if source is ParameterSource.COMMANDLINE:
            address, _, more = str(value).partition("?")
            if ":" in address.partition("://")[2].rpartition("@")[0] or "password=" in more:
                self.fail(
                    "a password on a command line is seen by everybody on the machine: "
                    "set the URL as VTRACE_DB, or the password as PGPASSWORD or in ~/.pgpass"
                )
        return str(value)


DB = option(
    "--db",
    type=DatabasePlace(),
    default=SQLITE,
    show_default=True,
    help="What holds the index: sqlite (a file in the data directory), or postgresql://USER@HOST/DATABASE.",
)


class KeyPlace(click.ParamType[Any]):
    """The path of the master key's file; in the environment the key itself may stand instead."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A Path, or a GivenKey."""
        if not isinstance(value, str):
            return value
        if not _KEY.fullmatch(value.strip()):
            return Path(value)
        if param is None or ctx is None or ctx.get_parameter_source(str(param.name)) is not ParameterSource.ENVIRONMENT:
            self.fail("a key on a command line is seen by everybody on the machine: set it as VTRACE_MASTER_KEY")
        return GivenKey(value)


_KEY = re.compile(r"[0-9a-fA-F]{64}|[A-Za-z0-9+/_-]{43}=")
_KEY_FILE = option(
    "--master-key",
    type=KeyPlace(),
    help="File with the master key (64 hex digits or base64, mode 0600); in the environment also the key itself. "
    "Default: DIR/master.key, made at first start.",
)
_KEY_COMMAND = option(
    "--master-key-command",
    help="Command that prints the master key instead: of a keyring, a cloud's KMS, systemd-creds. It has 30 s.",
)


def MASTER_KEY(command: Callable[..., T]) -> Callable[..., T]:
    """Both options of the master key; the command gets them as one ``master_key``."""

    @functools.wraps(command)
    def called(*args: Any, master_key: Any, master_key_command: str | None, **others: Any) -> T:
        if master_key_command is not None:
            if master_key is not None:
                raise click.UsageError("--master-key and --master-key-command: want one of them")
            master_key = KeyCommand(_words(master_key_command))
        return command(*args, master_key=master_key, **others)

    with_options: Callable[..., T] = _KEY_FILE(_KEY_COMMAND(called))
    return with_options


def _words(text: str) -> tuple[str, ...]:
    """A command with its arguments, quoted as for a shell; no shell runs it."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as fault:
        raise click.UsageError(f"--master-key-command: {fault}") from fault
    if not words:
        raise click.UsageError("--master-key-command: empty, want a command such as 'pass show vtrace/master-key'")
    return words


def check_used(data_dir: Path, db: str = SQLITE) -> None:
    """Refuse a place where no node keeps its data, instead of making one there."""
    if db != SQLITE:
        from node.opening import check_index

        check_index(Config(data_dir=data_dir, db=db))
    elif not Config(data_dir=data_dir).index_path.exists():
        raise SetupError(f"--data-dir {data_dir}: no node keeps its data there; name the directory of the node")
