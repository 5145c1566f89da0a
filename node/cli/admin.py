"""``vtrace admin``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from node.cli.options import DATA_DIR, DB, MASTER_KEY, check_used, option
from node.config import Config, KeySource


@click.group()
def admin() -> None:
    """Manage a data directory's users and materials, on the node's own machine."""


@admin.command("create", epilog="Example: vtrace admin create --phone 13800138000 --nickname Ops --data-dir ./data")
@DATA_DIR
@DB
@MASTER_KEY
@option("--phone", required=True, help="The login: a mobile number of 11 digits.")
@option("--nickname", default="admin", show_default=True, help="The name that others see.")
@option("--password", prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for when not given.")
def admin_create(
    data_dir: Path, db: str, master_key: KeySource | None, phone: str, nickname: str, password: str
) -> None:
    """Make an admin; prints the username."""
    with people_of(data_dir, db, master_key) as people:
        click.echo(people.make_admin(people.newcomer(phone, nickname, password)).username)


@admin.command("grant", epilog="Example: vtrace admin grant u0123456789abcdef examiner --data-dir ./data")
@DATA_DIR
@DB
@MASTER_KEY
@click.argument("username")
@click.argument("role")
def admin_grant(data_dir: Path, db: str, master_key: KeySource | None, username: str, role: str) -> None:
    """Give USERNAME the ROLE normal, transporter, examiner or admin."""
    check_used(data_dir, db)
    with people_of(data_dir, db, master_key) as people:
        user = people.grant(username, role)
    click.echo(f"{user.username} is {user.role.value}")


@admin.group("material")
def admin_material() -> None:
    """Manage the materials that classes of goods can name."""


@admin_material.command(
    "add", epilog='Example: vtrace admin material add "Pu-erh tea" --alias 普洱茶 --data-dir ./data'
)
@DATA_DIR
@DB
@MASTER_KEY
@click.argument("name")
@option("--alias", default="", help="Another name under which it is known.")
@option("--des", default="", help="Description for people.")
def admin_material_add(data_dir: Path, db: str, master_key: KeySource | None, name: str, alias: str, des: str) -> None:
    """Add the material NAME; prints its id. A running node knows it at once."""
    check_used(data_dir, db)
    from node.clock import now_micros
    from node.flow.recognise import add_material
    from node.opening import open_store

    store, _ = open_store(Config(data_dir=data_dir, db=db, master_key=master_key))
    with closing(store):
        click.echo(add_material(store, name, alias, des, now_micros))


@contextmanager
def people_of(data_dir: Path, db: str, master_key: KeySource | None) -> Iterator[Any]:
    """The rules of users over a data directory, beside or without a running node.

    The running node gives the user's actor its new rights on the chain before the actor's next circ.
    """
    from node.clock import now_micros
    from node.flow.people import People
    from node.opening import open_store

    store, seal = open_store(Config(data_dir=data_dir, db=db, master_key=master_key))
    with closing(store):
        yield People(store, seal, now_micros, role_changed=lambda _: None, submitted=lambda: None)
