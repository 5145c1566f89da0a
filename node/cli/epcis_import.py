"""``vtrace epcis import``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import option
from node.cli.tls import https_context, tls_options
from node.config import is_base_url
from node.errors import SetupError

if TYPE_CHECKING:
    from node.api.epcis_client import Answered, CaptureClient

FILE_BYTES_MAX = 64 * 1024 * 1024
FILE_EVENTS_MAX = 1_000_000
FILE_MEMBERS_MAX = 20_000_000
TOKEN_BYTES_MAX = 8 * 1024
EXIT_REFUSED, EXIT_NOT_DONE = 1, 2
OK, ACCEPTED = 200, 202
REFUSED = (400, 403, 409, 413)
RECORDED, DUPLICATE = "recorded", "duplicate"


@click.command(
    "import", epilog="Example: vtrace epcis import events.jsonld --url http://127.0.0.1:8080 --phone 13800138000"
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@option("--url", required=True, help="The node's HTTP address, such as http://127.0.0.1:8080.")
@option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the token. Or use --phone.")
@option("--phone", help="Log in with this phone; the password is asked for.")
@option("--password", help="The password of --phone, if it is not to be asked for.")
@tls_options()
def epcis_import(file: Path, url: str, token_file: Path | None, phone: str | None, password: str | None) -> None:
    """Have a node record the events of FILE, an EPCIS 2.0 document in JSON.

    All or none; a FILE that is larger than the node takes at once is sent in parts, each all or none, up to the first
    that is refused. Events that the node has already are not recorded again, so a FILE can be imported again. Prints a
    line for each event: its place in FILE, recorded or duplicate, and its trans_ids; of refused ones, why.

    Exit code 0: all are recorded; 1: something was refused; 2: FILE can't be read, or the node not be reached.
    """
    if (token_file is None) == (phone is None):
        raise click.UsageError("name --token-file or --phone")
    from node.api.epcis_client import CaptureClient, NotReached

    try:
        if not is_base_url(url):
            raise SetupError(f"--url {url}: want an http(s) URL such as http://127.0.0.1:8080")
        client = CaptureClient(url, tls=https_context(as_oneself=True))
        if token_file is not None:
            client.use(_content(token_file, TOKEN_BYTES_MAX).decode("ascii", "replace").strip())
        else:
            _log_in(client, phone or "", password)
        code = _import(file, client)
    except NotReached as fault:
        click.echo(f"Error: --url {url}: {_line(str(fault))}", err=True)
        code = EXIT_NOT_DONE
    except SetupError as fault:
        click.echo(f"Error: {fault}", err=True)
        code = EXIT_NOT_DONE
    sys.exit(code)


def _import(file: Path, client: CaptureClient) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from node.api.epcis_client import NotReached
    from node.domain.epcis.cut import parts_of
    from node.domain.epcis.document import events_of, parse
    from node.domain.epcis.faults import Faulty, TooLarge

    limits = client.limits()
    try:
        value = parse(_content(file, FILE_BYTES_MAX), FILE_BYTES_MAX, FILE_MEMBERS_MAX)
        given = events_of(value, FILE_EVENTS_MAX)
        parts = list(parts_of(value, given, *limits))
    except Faulty as faulty:
        raise SetupError(f"{file}: {'; '.join(map(str, faulty.faults))}") from None
    except TooLarge as fault:
        raise SetupError(f"{file}: {fault}") from None
    if len(parts) > 1:
        click.echo(f"{file}: {len(given)} events go in {len(parts)} parts, each all or none", err=True)
    stderr = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    recorded = duplicates = 0
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("events", total=len(given))
        for part in parts:
            before = f"the {part.first} before it are" if part.first else "none is"
            try:
                answer = client.capture(part.body)
            except NotReached as fault:
                again = f"import {file} again to go on from event {part.first}; {before} recorded for sure"
                raise NotReached(f"{fault}; {again}") from fault
            entries = _entries(answer)
            if entries is None:
                click.echo(f"{file}: refused from event {part.first} on; {before} recorded", err=True)
                return _tell_refused(answer, part.first)
            for place, what, trans_ids in entries:
                click.echo(f"{part.first + place} {what} {' '.join(trans_ids)}")
                duplicates += what == DUPLICATE
            recorded += part.events
            bar.update(task, completed=recorded)
    click.echo(
        f"epcis import: {len(given)} events, {len(given) - duplicates} recorded, {duplicates} duplicates", err=True
    )
    return 0


def _entries(answer: Answered) -> list[tuple[int, str, list[str]]] | None:
    """The place, what became of it and the trans_ids of each event; None if the document was not captured."""
    job = answer.json if isinstance(answer.json, dict) else {}
    if answer.status != ACCEPTED or job.get("success") is not True:
        return None
    try:
        found = [(each, RECORDED) for each in job["recorded"]] + [(each, DUPLICATE) for each in job["duplicates"]]
        return sorted((int(each["event"]), what, [_line(str(one)) for one in each["transIDs"]]) for each, what in found)
    except (KeyError, TypeError, ValueError) as fault:
        raise SetupError(f"what the node answered is no capture job of VTrace: {fault!r}") from fault


def _tell_refused(answer: Answered, first: int) -> int:
    """Say why a document was refused, event by event; answers the exit code."""
    said: dict[str, Any] = answer.json if isinstance(answer.json, dict) else {}
    errors = said.get("errors")
    told = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    for each in told:
        place, detail = each.get("event"), str(each.get("detail", ""))
        if isinstance(place, int):
            detail = f"event {first + place}: {detail.removeprefix(f'eventList[{place}]').lstrip('.: ')}"
        click.echo(_line(detail), err=True)
    if isinstance(said.get("errorsLeftOut"), int):
        click.echo(f"and {said['errorsLeftOut']} more", err=True)
    if not told:
        click.echo(
            f"Error: HTTP {answer.status}: {_line(str(said.get('detail') or said.get('message') or ''))}", err=True
        )
    return EXIT_REFUSED if told or answer.status in REFUSED else EXIT_NOT_DONE


def _log_in(client: CaptureClient, phone: str, password: str | None) -> None:
    given = click.prompt("Password", hide_input=True, err=True) if password is None else password
    answer = client.log_in(phone, given)
    if answer.status != OK:
        said = answer.json.get("message") if isinstance(answer.json, dict) else None
        raise SetupError(f"--phone {phone}: the node refused: {_line(str(said or f'HTTP {answer.status}'))}")


def _content(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as fault:
        raise SetupError(f"{path}: {fault.strerror}") from fault
    if len(content) > bytes_max:
        raise SetupError(f"{path}: more than {bytes_max} bytes")
    return content


def _line(text: str) -> str:
    """What a node says, as a terminal may be given it."""
    from node.flow.audit import one_line

    return one_line(text)
