"""``vtrace epcis``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import click

from node.cli.epcis_import import epcis_import
from node.cli.options import DATA_DIR, check_used, option
from node.errors import SetupError


@click.group()
def epcis() -> None:
    """Exchange what is recorded with others as events of GS1's EPCIS 2.0."""


epcis.add_command(epcis_import)


@epcis.command("export", epilog="Example: vtrace epcis export --data-dir ./data --out events.jsonld")
@DATA_DIR
@option("--epc", "epcs", multiple=True, help="Only events of this EPC, as a URI; may be given again. Default: all.")
@option("--pending", is_flag=True, help="With the circs that the chain has not confirmed yet.")
@option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write. Default: stdout.")
def epcis_export(data_dir: Path, epcs: tuple[str, ...], pending: bool, out: Path | None) -> None:
    """Write the circs of a data directory as one EPCISDocument, beside a running node or without one.

    Without --pending it ends before the first circ that is pending, and a later export goes on from there.
    """
    check_used(data_dir)
    from rich.console import Console

    from node.clock import now_micros
    from node.config import Config
    from node.domain.epcis.query import PENDING, PER_PAGE_MAX, QueryFault, parse
    from node.domain.epcis.write import head
    from node.flow import events
    from node.opening import index_of

    asked = [("perPage", str(PER_PAGE_MAX)), (PENDING, str(pending).lower())]
    try:
        query = parse([*asked, ("MATCH_anyEPC", "|".join(epcs))] if epcs else asked)
    except QueryFault as fault:
        raise SetupError(f"--epc: {fault}") from fault
    total = 0
    stderr = Console(stderr=True)
    with ExitStack() as opened:
        store = index_of(Config(data_dir=data_dir))
        opened.callback(store.close)
        pages = events.of_index(store, now_micros).pages(query)
        file = opened.enter_context(_written(out))
        status = opened.enter_context(stderr.status("exporting")) if stderr.is_terminal else None
        # An event a line, so that no document has to be held whole to be written, nor to be read by tools of lines.
        beginning = json.dumps({**head("EPCISDocument", now_micros()), "epcisBody": {"eventList": []}})
        file.write(beginning.removesuffix("]}}"))
        for page in pages:
            for event in page.events:
                file.write(f"{',' if total else ''}\n{json.dumps(event, ensure_ascii=False, separators=(',', ':'))}")
                total += 1
            if status is not None:
                status.update(f"exporting: {total} events")
        file.write("\n]}}\n")
    click.echo(f"epcis export: {total} events", err=True)


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
