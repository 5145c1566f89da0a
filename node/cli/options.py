"""What options and commands have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from node.config import Config
from node.errors import SetupError

EXIT_DIFFERENCES = 1
EXIT_COULD_NOT_CHECK = 2

NODE = "HOST:PORT of the node's gRPC."
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
MASTER_KEY = option(
    "--master-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the master key (64 hex digits, mode 0600). Default: DIR/master.key, made at first start.",
)


def check_used(data_dir: Path) -> None:
    if not Config(data_dir=data_dir).index_path.exists():
        raise SetupError(f"--data-dir {data_dir}: no node keeps its data there; name the directory of the node")
