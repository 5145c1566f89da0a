"""What the page of goods consists of, as its template takes it: texts of one language, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass

from node.page.text import Tree


@dataclass(frozen=True, slots=True)
class Who:
    """A user for readers: a name, empty if there is none, and the username; ``own`` if the name is self-given."""

    name: str
    code: str
    own: bool

    @property
    def short(self) -> str:
        """The one text that stands for the user in a sentence."""
        return self.name or self.code


@dataclass(frozen=True, slots=True)
class When:
    """A time for readers and for machines."""

    text: str
    machine: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What must not be missed, at the top of the page."""

    alarm: str
    headline: str
    text: str
    by_at: str
    entry: int


@dataclass(frozen=True, slots=True)
class File:
    """A file that a form names; ``text`` describes it, or says that it isn't here."""

    cid: str
    text: str
    is_here: bool
    is_picture: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One circ of the history."""

    number: int
    kind: int
    kind_text: str
    alarm: str
    alarm_text: str
    who: Who
    to: Who | None
    when: When
    pending: bool
    forgotten: bool
    fields: Tree | None
    files: tuple[File, ...]
    more_files: str
    proof: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """The whole page. ``is_hinted`` says that the goods are scanned unusually often; ``data`` is what the script checks
    the page by, as JSON that can stand within a script element."""

    title: str
    trademark: str
    product: str
    goods: str
    notices: tuple[Notice, ...]
    facts: tuple[tuple[str, str], ...]
    holder: Who | None
    waiting_holder: str
    is_hinted: bool
    about: Tree | None
    entries: tuple[Entry, ...]
    omitted: str
    data: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the histories stand: chain id, contract, and the JSON-RPC endpoint that readers are offered, or ""."""

    chain_id: int
    contract: str
    endpoint: str
