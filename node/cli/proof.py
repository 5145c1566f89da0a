"""``vtrace proof``."""

from __future__ import annotations

import logging
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import EXIT_COULD_NOT_CHECK, EXIT_DIFFERENCES, RPC, option
from node.cli.tls import client_of, https_context, node_option
from node.errors import SetupError

if TYPE_CHECKING:
    from node.flow.proof import Proven, Trust

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


class _MakeUnlessNamed(click.Group):
    """``vtrace proof 17 …`` is ``vtrace proof make 17 …``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments, with the command that they leave out."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["make", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_MakeUnlessNamed)
def proof() -> None:
    """Prove goods' whole history in one file that outlives the node.

    vtrace proof GOODS_ID is short for vtrace proof make GOODS_ID.
    """


@proof.command(
    "make",
    epilog="Example: vtrace proof make 17 --node 127.0.0.1:50051 --rpc http://127.0.0.1:8080/rpc --contract 0x… "
    "> goods-17.vtproof.json",
)
@click.argument("goods_id", type=int)
@node_option(required=True)
@option("--rpc", required=True, help=RPC)
@option("--contract", required=True, help="Address of the contract, as its owner made it known.")
def proof_make(goods_id: int, node_address: str, rpc: str, contract: str) -> None:
    """Write the proof of GOODS_ID to stdout: every circ that is mined now.

    Exit code 1: it can't be made, and nothing is written.
    """
    from rich.console import Console

    from node.api.client import AuditedNode
    from node.chain.rpc import HttpRpc
    from node.domain.model import GOODS_ID_MAX
    from node.flow.proof import ProofImpossible, make, write

    if not 1 <= goods_id <= GOODS_ID_MAX:
        raise SetupError(f"goods {goods_id}: want an id from 1 to {GOODS_ID_MAX}")
    _check_contract(contract)
    try:
        endpoint = HttpRpc(rpc, tls=https_context())
    except ValueError as fault:
        raise SetupError(f"--rpc {rpc}: {fault}") from fault
    stderr = Console(stderr=True)
    with ExitStack() as opened:
        opened.callback(endpoint.close)
        client = opened.enter_context(client_of(node_address))
        status = opened.enter_context(stderr.status("proving")) if stderr.is_terminal else None

        def tell(step: str) -> None:
            if status is not None:
                status.update(step)

        try:
            made = make(AuditedNode(client), endpoint, contract, goods_id, tell)
        except ProofImpossible as fault:
            raise SetupError(f"proof: {fault}") from fault
    for note in made.notes:
        click.echo(f"proof: {note}", err=True)
    click.echo(write(made.proof), nl=False)


@proof.command("verify", epilog="Example: vtrace proof verify goods-17.vtproof.json --block-hash 0x… --block-hash 0x…")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@option("--block-hash", "block_hashes", multiple=True, help="Hash of a block that is the chain's; may be given again.")
@option("--rpc", help="URL of a JSON-RPC endpoint of the chain, to ask for what the block hashes don't say.")
@option("--contract", help="Refuse a proof about another contract than this address.")
def proof_verify(file: Path, block_hashes: tuple[str, ...], rpc: str | None, contract: str | None) -> None:
    """Verify a proof FILE. Needs no node, and no network unless --rpc is given.

    Prints what is proven, and the hashes of the blocks that it rests on.
    Exit code 0: verified; 1: wrong; 2: right as far as it goes, but not all could be checked.
    """
    for each in block_hashes:
        if not _HASH.fullmatch(each):
            raise click.BadParameter(f"{each[:80]}: want 0x and 64 hex digits", param_hint="--block-hash")
    if contract is not None:
        _check_contract(contract)
    from node.flow.proof import ProofWrong

    try:
        code = _verify(file, block_hashes, rpc, contract)
    except ProofWrong as fault:
        click.echo(f"proof: wrong: {fault}")
        code = EXIT_DIFFERENCES
    except (Exception, KeyboardInterrupt) as fault:  # exit code 1 must mean wrong, whatever happens
        from node.flow.audit import one_line

        click.echo(one_line(f"proof: could not check: {type(fault).__name__}: {fault}"), err=True)
        logging.getLogger(__name__).debug("what happened", exc_info=True)
        code = EXIT_COULD_NOT_CHECK
    sys.exit(code)


def _verify(file: Path, block_hashes: tuple[str, ...], rpc: str | None, contract: str | None) -> int:
    from node.flow.proof import FILE_BYTES_MAX, ProofWrong, ask, believe, read, verify

    with file.open("rb") as opened:
        data = opened.read(FILE_BYTES_MAX + 1)
    proven = verify(read(data))
    if contract is not None and contract.lower() != proven.contract:
        raise ProofWrong(f"the proof is about contract {proven.contract}, want {contract.lower()}")
    trust = believe(proven, block_hashes)
    if rpc is not None and not trust.is_whole:
        from node.chain.rpc import Chain, HttpRpc

        endpoint = HttpRpc(rpc, tls=https_context())
        try:
            trust = ask(proven, trust, Chain(endpoint))
        finally:
            endpoint.close()
    for line in _lines(proven, trust):
        click.echo(line)
    return 0 if trust.is_whole else EXIT_COULD_NOT_CHECK


def _lines(proven: Proven, trust: Trust) -> list[str]:
    """What is proven, each a printable line."""
    from node.domain.form import rfc3339
    from node.flow.audit import one_line

    lines = [f"proof of goods {proven.goods_id}, chain {proven.chain_id}, contract {proven.contract}"]
    for circ in proven.circs:
        signed = f"signed by {circ.signer}" if circ.signer else "the contract vouches for the signature"
        lines.append(
            f"{circ.times}  {circ.circ.circ_type.name.lower()}  {circ.operator} → {circ.to}  "
            f"block {circ.block}, {rfc3339(circ.timestamp * 1_000_000)}  {circ.tx_hash}  {signed}"
        )
        if circ.form:
            lines.append(f"   {circ.form.decode()}")
    lines.append(f"held by {proven.holder_name} (actor {proven.holder}) after {len(proven.circs)} circs")
    if not proven.complete:
        told = "an RPC says so" if trust.complete else "rests on an RPC: give --rpc"
        lines.append(f"that no circ is left out, and that the contract is the known one: {told}")
    lines += [f"could not check: {each}" for each in trust.unchecked]
    lines += [f"trusted: block {block.number} {block.hash}" for block in trust.trusted]
    lines += [f"to be trusted: block {block.number} {block.hash}" for block in trust.open_blocks]
    verdict = "verified" if trust.is_whole else "right, if what is open above is so"
    lines.append(f"proof: {verdict}, up to block {proven.blocks[-1].number} {proven.blocks[-1].hash}")
    return [one_line(line) for line in lines]


def _check_contract(contract: str) -> None:
    if not _ADDRESS.fullmatch(contract):
        raise SetupError(f"--contract {contract[:80]}: want an address, 0x and 40 hex digits")
