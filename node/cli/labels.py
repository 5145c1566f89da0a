"""``vtrace labels``."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

import click

from node.cli.login import FILE, logged_in, login_options
from node.cli.options import option
from node.errors import SetupError

if TYPE_CHECKING:
    from rich.progress import Progress

    from node.api.labels_client import ListedLabels
    from node.codes.label import Batch, Label

FORMATS = ("pdf", "svg", "zpl")
LABELS_MAX = 50_000
ID_MAX = 2**31 - 1
LOOPBACK = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::")  # nosec B104: looked for in an address, not listened at


@click.command(
    epilog="Example: vtrace labels --serial 12 --format pdf --out labels.pdf --node 127.0.0.1:50051 --phone 13800138000"
)
@option("--serial", "serial_id", type=click.IntRange(1, ID_MAX), required=True, help="Id of the serial.")
@option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    default="pdf",
    show_default=True,
    help="pdf and svg: A4 sheets of 3 × 8 labels, 70 × 37 mm. zpl: one such label each, at 203 dpi.",
)
@option("--only", metavar="FIRST-LAST", default="", help="Only goods with these ids, such as 17-40 or 17.")
@option("--out", type=FILE, help="File to write, whole or not at all. Default: stdout, unless it is a terminal.")
@login_options
def labels(
    serial_id: int,
    kind: str,
    only: str,
    out: Path | None,
    node_address: str,
    token_file: Path | None,
    phone: str | None,
    password: str | None,
) -> None:
    """Print labels with codes for the goods of a serial of the caller's org.

    The node says where the codes lead: serve it with --public-url.
    """
    goods = _span(only)
    _check_out(out)
    from rich.console import Console
    from rich.progress import Progress

    from node.api.labels_client import list_labels

    stderr = Console(stderr=True)
    with (
        logged_in(node_address, token_file, phone, password) as (client, token),
        Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bar,
    ):
        tell = _telling(bar, "asking for labels")
        found = list_labels(client, token, serial_id, goods, LABELS_MAX, tell)
        _check(found, serial_id, only)
        pieces = _pieces(found, serial_id, kind, _telling(bar, "drawing labels"))
        if out is None:
            _write(pieces, sys.stdout.buffer)
        else:
            _write_whole(pieces, out)
    first = found.labels[0][1]
    click.echo(f"labels: {len(found.labels)} of serial {serial_id}; the first leads to {first}", err=True)
    if urlsplit(first).hostname in LOOPBACK:
        click.echo(
            "labels: no phone can follow that, it means this machine: serve the node with --public-url", err=True
        )


def _span(only: str) -> range:
    """The goods ids of ``--only``."""
    if not only:
        return range(1, ID_MAX + 1)
    found = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", only, re.ASCII)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last <= ID_MAX:
        raise SetupError(f"--only {only[:80]}: want an id or FIRST-LAST such as 17-40, from 1 to {ID_MAX}")
    return range(first, last + 1)


def _check_out(out: Path | None) -> None:
    """Before anything is asked of anybody."""
    if out is None:
        if sys.stdout.isatty():
            raise click.UsageError("name --out FILE, or send stdout to a file or a printer: this is a terminal")
    elif not out.parent.is_dir():
        raise SetupError(f"--out {out}: there is no directory {out.parent}")
    elif out.exists() and not out.is_file():
        raise SetupError(f"--out {out}: is no file; leave --out away and send stdout there")


def _check(found: ListedLabels, serial_id: int, only: str) -> None:
    if not found.labels:
        among = f" among --only {only}" if only else ""
        raise SetupError(f"serial {serial_id} has no goods{among}, so there is nothing to print")
    if found.total > len(found.labels):
        raise SetupError(
            f"serial {serial_id} has {found.total} goods to print, want at most {LABELS_MAX} at once: "
            "print them in parts with --only FIRST-LAST"
        )


def _telling(bar: Progress, what: str) -> Callable[[int, int], None]:
    task = bar.add_task(what, total=None)

    def tell(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)

    return tell


def _pieces(found: ListedLabels, serial_id: int, kind: str, tell: Callable[[int, int], None]) -> Iterator[bytes]:
    """What is to be written. All that can be wrong with it is told before the first piece."""
    from node.codes import sheets, zpl
    from node.codes.font import Font, NoGlyph
    from node.codes.label import Batch, Label
    from node.codes.qr import Symbol, TooLong

    batch = Batch(found.class_name, found.org_name, serial_id, found.product_time, found.gtin, len(found.labels))
    listed = [Label(goods_id, address) for goods_id, address in found.labels]
    draw: Callable[[Batch, Iterable[Label], Font], Iterator[bytes]]
    draw = {"pdf": sheets.pdf, "svg": sheets.svg, "zpl": zpl.zpl}[kind]
    font = Font()
    try:
        Symbol(max((label.address for label in listed), key=len))
        if kind != "svg":
            font.check("class", batch.class_name)
            font.check("org", batch.org_name)
    except TooLong as fault:
        raise SetupError(f"{fault}: serve the node with a shorter --public-url") from fault
    except NoGlyph as fault:
        raise SetupError(f"{fault}; --format svg leaves fonts to whoever prints it") from fault

    def counted() -> Iterator[Label]:
        for done, label in enumerate(listed):
            tell(done, len(listed))
            yield label

    return draw(batch, counted(), font)


def _write(pieces: Iterable[bytes], file: IO[bytes]) -> None:
    for piece in pieces:
        file.write(piece)
    file.flush()


def _write_whole(pieces: Iterable[bytes], out: Path) -> None:
    """Write beside the file, then put it in its place."""
    made: str | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=out.parent, prefix=f".{out.name[:100]}.", delete=False) as file:
            made = file.name
            _write(pieces, file)
            os.fsync(file.fileno())
        os.replace(made, out)
        made = None
    except OSError as fault:
        raise SetupError(f"--out {out}: {fault.strerror}") from fault
    finally:
        if made is not None:
            Path(made).unlink(missing_ok=True)
