"""Being somebody at a node: what commands that need a token have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import option
from node.cli.tls import client_of, node_option
from node.errors import SetupError

if TYPE_CHECKING:
    from node.api.client import NodeClient

FILE_BYTES_MAX = 64 * 1024
FILE = click.Path(dir_okay=False, path_type=Path)
OPTIONS = (
    node_option(required=True),
    option("--token-file", type=FILE, help="File with the token. Or log in with --phone."),
    option("--phone", help="Log in with this phone; the password is asked for."),
    option("--password", help="The password of --phone, if it is not to be asked for."),
)


def login_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which node, and who calls."""
    for each in reversed(OPTIONS):
        command = each(command)
    return command


@contextmanager
def logged_in(
    address: str, token_file: Path | None, phone: str | None, password: str | None
) -> Iterator[tuple[NodeClient, str]]:
    """A client and a token. What the node refuses is told in a line."""
    from node.api.client import NotUnderstood, Refused
    from node.api.partner import log_in

    if (token_file is None) == (phone is None):
        raise click.UsageError("name --token-file or --phone")
    if phone is not None and password is None:
        password = click.prompt("Password", hide_input=True, err=True)
    try:
        with client_of(address) as client:
            yield client, small_text(token_file) if token_file else log_in(client, phone or "", password or "")
    except Refused as refusal:
        raise SetupError(f"the node at {address} refused: {refusal}") from refusal
    except NotUnderstood as fault:
        raise SetupError(f"the node at {address}: {fault}") from fault


def small_text(path: Path) -> str:
    """A small file's text, without the line's end."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as fault:
        raise SetupError(f"{path}: {fault.strerror}") from fault
    except UnicodeDecodeError:
        raise SetupError(f"{path}: not a text file") from None
    if len(text) > FILE_BYTES_MAX:
        raise SetupError(f"{path}: more than {FILE_BYTES_MAX} characters")
    return text.rstrip("\r\n")
