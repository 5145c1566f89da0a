"""``vtrace epcis``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qsl, urlsplit

import click

from node.cli.epcis_import import epcis_import
from node.cli.options import DATA_DIR, DB, check_used, option
from node.cli.tls import https_context, tls_options
from node.config import is_base_url
from node.errors import SetupError, shown


@click.group()
def epcis() -> None:
    """Exchange what is recorded with others as events of GS1's EPCIS 2.0."""


epcis.add_command(epcis_import)


@epcis.command("export", epilog="Example: vtrace epcis export --data-dir ./data --out events.jsonld")
@DATA_DIR
@DB
@option("--url", help="Ask the node at this HTTP address, such as http://127.0.0.1:8080, instead of --data-dir.")
@option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the token for --url.")
@option("--epc", "epcs", multiple=True, help="Only events of this EPC, as a URI; may be given again. Default: all.")
@option("--pending", is_flag=True, help="With the circs that the chain has not confirmed yet.")
@option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write. Default: stdout.")
@tls_options()
def epcis_export(
    data_dir: Path,
    db: str,
    url: str | None,
    token_file: Path | None,
    epcs: tuple[str, ...],
    pending: bool,
    out: Path | None,
) -> None:
    """Write circs as one EPCISDocument: those of a data directory, beside a running node or without one, or with --url
    what a node tells: events of each --epc to anybody, else those of the caller's org.

    Without --pending it ends before the first circ that is pending, and a later export goes on from there.
    """
    from rich.console import Console

    from node.clock import now_micros
    from node.domain.epcis.query import PENDING, PER_PAGE_MAX, QueryFault, parse
    from node.domain.epcis.write import head

    asked = [("perPage", str(PER_PAGE_MAX)), (PENDING, str(pending).lower())]
    if epcs:
        asked.append(("MATCH_anyEPC", "|".join(epcs)))
    try:
        parse(asked)
    except QueryFault as fault:
        raise SetupError(f"--epc: {fault}") from fault
    total = 0
    stderr = Console(stderr=True)
    with ExitStack() as opened:
        pages = _of_node(url, token_file, asked) if url else opened.enter_context(_of_index(data_dir, db, asked))
        file = opened.enter_context(_written(out))
        status = opened.enter_context(stderr.status("exporting")) if stderr.is_terminal else None
        # An event a line, so that no document has to be held whole to be written, nor to be read by tools of lines.
        beginning = json.dumps({**head("EPCISDocument", now_micros()), "epcisBody": {"eventList": []}})
        file.write(beginning.removesuffix("]}}"))
        for page in pages:
            for event in page:
                file.write(f"{',' if total else ''}\n{json.dumps(event, ensure_ascii=False, separators=(',', ':'))}")
                total += 1
            if status is not None:
                status.update(f"exporting: {total} events")
        file.write("\n]}}\n")
    click.echo(f"epcis export: {total} events", err=True)


@contextmanager
def _of_index(data_dir: Path, db: str, asked: Sequence[tuple[str, str]]) -> Iterator[Iterator[list[Any]]]:
    """The pages of a data directory."""
    check_used(data_dir, db)
    from node.clock import now_micros
    from node.config import Config
    from node.domain.epcis.query import parse
    from node.flow import events
    from node.opening import index_of

    with closing(index_of(Config(data_dir=data_dir, db=db))) as store:
        yield (page.events for page in events.of_index(store, now_micros).pages(parse(asked)))


def _of_node(url: str, token_file: Path | None, asked: Sequence[tuple[str, str]]) -> Iterator[list[Any]]:
    """The pages of a running node."""
    from node.api.epcis_client import CaptureClient, NotReached

    if not is_base_url(url):
        raise SetupError(f"--url {url}: want an http(s) URL such as http://127.0.0.1:8080")
    try:
        client = CaptureClient(url, tls=https_context(as_oneself=True))
        if token_file is not None:
            client.use(token_file.read_text().strip())
        token = ""  # nosec B105: the first page has none
        while True:
            answer = client.events([*asked, ("nextPageToken", token)] if token else asked)
            if answer.status != 200:
                said = answer.json.get("detail", "") if isinstance(answer.json, dict) else ""
                raise SetupError(f"--url {url}: HTTP {answer.status}: {shown(str(said))}")
            try:
                yield answer.json["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
            except (KeyError, TypeError) as fault:
                raise SetupError(f"--url {url}: what answers is no EPCIS 2.0 query interface") from fault
            link = urlsplit(answer.headers.get("link", "").partition(">")[0].lstrip("<"))
            following = dict(parse_qsl(link.query)).get("nextPageToken", "")
            if not following:
                return
            if following == token:
                raise SetupError(f"--url {url}: the node names the same page as the next one")
            token = following
    except OSError as fault:
        raise SetupError(f"--token-file {token_file}: {fault.strerror}") from fault
    except NotReached as fault:
        raise SetupError(f"--url {url}: {shown(str(fault))}") from fault


@contextmanager
def _written(out: Path | None) -> Iterator[TextIO]:
    """Stdout, or a file that is there only once it is whole."""
    if out is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    part = out.with_name(f".{out.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    except OSError as fault:
        raise SetupError(f"--out {out}: {fault.strerror}") from fault
    finally:
        part.unlink(missing_ok=True)
