"""``vtrace circ``: the reference client of partners who keep their own key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from node.cli.login import FILE, OPTIONS, logged_in, small_text
from node.cli.options import option
from node.cli.tls import https_context
from node.errors import SetupError

if TYPE_CHECKING:
    from node.api.partner import Partner, PartnerAccount
    from node.chain.signer import Signatory
    from node.flow.signing import Wanted

KINDS = ("produce", "process", "transfer", "exam")
TRIES = 3

_PARTNER = (
    *OPTIONS,
    option("--key", type=FILE, help="File with the own key, 64 hex digits."),
    option("--ledger-json", type=FILE, help="Or a keystore: a Web3 Secret Storage file of version 3 (JSON)."),
    option("--password-file", type=FILE, help="File with the keystore's password. Default: it is asked for."),
    option("--chain-id", type=click.IntRange(min=1), help="Sign for this chain alone."),
    option("--contract", help="Sign for the contract of this address alone."),
)


def _partner_options(command: Callable[..., None]) -> Callable[..., None]:
    for each in reversed(_PARTNER):
        command = each(command)
    return command


@click.group()
def circ() -> None:
    """Record circs with a key of one's own, which the node never sees."""


@circ.command("account", epilog="Example: vtrace circ account --key own.key --node 127.0.0.1:50051 --phone 13800138000")
@_partner_options
def circ_account(**given: Any) -> None:
    """Let the key's account speak for the caller from now on; the node can't record in its name any more.

    Prints actor, account and trans_id. It can't be taken back: see that the key is backed up.
    """
    from node.flow.signing import signed_account

    by = _signatory(given)
    with _partner(given) as partner:
        shown = _placed(partner.account(by.account), given)
        possession = signed_account(by, shown.place, shown.actor, shown.typed_data)
        trans_id = partner.set_account(by.account, possession)
    click.echo(f"actor {shown.actor}\naccount {by.account}\ntrans_id {trans_id}")


@circ.command(
    "create",
    epilog='Example: vtrace circ create 17 18 --kind process --form \'{"step": "dried"}\' --key own.key '
    "--node 127.0.0.1:50051 --phone 13800138000",
)
@click.argument("goods_ids", type=click.IntRange(min=1), nargs=-1, required=True, metavar="GOODS_ID...")
@option("--kind", type=click.Choice(KINDS), required=True, help="What happened.")
@option("--to", default="", help="The receiver's username, for a transfer.")
@option("--form", default="", help="The form: a JSON object.")
@option("--private", is_flag=True, help="The form holds personal data: never publish it, forget it when asked to.")
@option("--rpc", help="URL of a JSON-RPC endpoint of the chain, to look up who a transfer's receiver is.")
@_partner_options
def circ_create(
    goods_ids: tuple[int, ...], kind: str, to: str, form: str, private: bool, rpc: str | None, **given: Any
) -> None:
    """Record a circ of each GOODS_ID, all or none, signed here.

    What the node gives to sign is checked against what was asked for; of a transfer, who the receiver's number stands
    for only with --rpc. Prints a line for each goods: its id and the circ's trans_id.
    """
    from node.domain import limits
    from node.domain.model import CircType
    from node.flow.signing import Wanted

    goods = tuple(limits.goods_ids("GOODS_ID", goods_ids))
    wanted = Wanted(goods, CircType[kind.upper()], to, limits.form("--form", form.encode()), private)
    if bool(to) != (wanted.circ_type is CircType.TRANSFER):
        raise SetupError("--to: want the receiver's username for a transfer, and nothing for any other kind")
    by = _signatory(given)
    with _partner(given) as partner:
        shown = _placed(partner.account(), given)
        if not shown.sovereign or shown.account != by.account:
            whose = "keeps no key of its own" if not shown.sovereign else f"has account {shown.account}"
            raise SetupError(f"actor {shown.actor} {whose}, the key is of {by.account}: see vtrace circ account")
        for goods_id, trans_id in sorted(_recorded(partner, shown, by, wanted, rpc).items()):
            click.echo(f"{goods_id} {trans_id}")


def _recorded(
    partner: Partner, shown: PartnerAccount, by: Signatory, wanted: Wanted, rpc: str | None
) -> dict[int, str]:
    """Prepare, check, sign and send; again if the goods had another circ in between."""
    from node.api.client import Refused
    from node.api.partner import version_moved
    from node.flow.signing import checked_circ, signed_circ

    tries = TRIES
    while True:
        prepared = partner.prepare(wanted)
        found = checked_circ(wanted, shown.place, shown.actor, prepared.typed_data, prepared.salt, prepared.version)
        if wanted.to and rpc is not None:
            _check_receiver(rpc, shown, found.to, wanted.to)
        tries -= 1
        try:
            return partner.record(wanted, prepared, signed_circ(by, shown.place, found))
        except Refused as refusal:
            if not (tries and version_moved(refusal)):
                raise


def _check_receiver(rpc: str, shown: PartnerAccount, actor: int, username: str) -> None:
    from node.chain.rpc import Chain, ChainUnavailable, HttpRpc
    from node.flow.signing import check_receiver

    try:
        endpoint = HttpRpc(rpc, tls=https_context())
    except ValueError as fault:
        raise SetupError(f"--rpc {rpc}: {fault}") from fault
    try:
        chain = Chain(endpoint)
        found = chain.chain_id()
        if found != shown.place.chain_id:
            raise SetupError(f"--rpc serves chain {found}, the node is on {shown.place.chain_id}")
        check_receiver(chain, shown.place, actor, username)
    except ChainUnavailable as fault:
        raise SetupError(f"--rpc: {fault}") from fault
    finally:
        endpoint.close()


def _placed(shown: PartnerAccount, given: dict[str, Any]) -> PartnerAccount:
    """The account, once chain and contract are those that may be signed for; says which they are."""
    from node.flow.signing import check_place

    check_place(shown.place, given["chain_id"], given["contract"])
    click.echo(f"signing for chain {shown.place.chain_id}, contract {shown.place.contract}", err=True)
    return shown


@contextmanager
def _partner(given: dict[str, Any]) -> Iterator[Partner]:
    """The caller, logged in. What the node refuses, and what is not signed, is told in a line."""
    from node.api.partner import Partner
    from node.flow.signing import NotWhatWasAsked

    who = (given["node_address"], given["token_file"], given["phone"], given["password"])
    try:
        with logged_in(*who) as (client, token):
            yield Partner(client, token)
    except NotWhatWasAsked as fault:
        raise SetupError(f"not signed: {fault}") from fault


def _signatory(given: dict[str, Any]) -> Signatory:
    from node.chain.keystore import open_keystore
    from node.flow.signing import held_key

    key, keystore, password_file = given["key"], given["ledger_json"], given["password_file"]
    if (key is None) == (keystore is None):
        raise click.UsageError("name --key or --ledger-json")
    if key is not None:
        try:
            return held_key(small_text(key))
        except ValueError:
            raise SetupError(f"--key {key}: want the 64 hex digits of a private key") from None
    if password_file is not None:
        password = small_text(password_file)
    else:
        password = click.prompt("Password of the keystore", hide_input=True, err=True)
    try:
        return held_key(open_keystore(small_text(keystore).encode(), password).hex())
    except ValueError as fault:
        raise SetupError(f"--ledger-json {keystore}: {fault}") from None
