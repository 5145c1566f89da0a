"""Commands that call a node over TLS: over gRPC and HTTP, with an authority and a certificate of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node.cli import main
from node.domain.epcis.ids import base_of
from tests.api.tls_world import World, new_world
from tests.support import people
from tests.support.epcis import document, event


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with new_world(tmp_path_factory.mktemp("tls")) as made:
        yield made


@dataclass
class Partner:
    """A producer with goods, a token, and a certificate that is nobody's."""

    world: World
    folder: Path
    maker: people.Maker
    goods: list[int]

    @property
    def trusting(self) -> list[str]:
        return ["--tls-ca", str(self.world.folder / "ca.pem")]

    @property
    def as_oneself(self) -> list[str]:
        return ["--tls-identity", str(self.folder / "me.pem")]

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(main, args)


@pytest.fixture
def partner(world: World, tmp_path: Path) -> Partner:
    issued = world.authority.issue()
    (tmp_path / "me.pem").write_bytes(issued.certificate + issued.key)
    maker = people.maker(world.client(issued))
    (tmp_path / "token").write_text(f"{maker.boss.client.token}\n")
    goods = maker.goods(1)
    people.settled(maker.boss.client, goods[0])
    return Partner(world, tmp_path, maker, goods)


def test_an_audit_over_tls(partner: Partner) -> None:
    ready = partner.world.running.ready
    command = ["audit", "--node", ready.grpc, "--rpc", f"{partner.world.base}/rpc", "--contract", ready.contract]
    command += ["--goods", str(partner.goods[0])]
    done = partner.run(*command, *partner.trusting, *partner.as_oneself)
    assert done.exit_code == 0, done.output
    assert "1 goods, 1 circs, 0 pending, 0 differences" in done.output
    for trust in ([], partner.trusting):
        assert partner.run(*command, *trust).exit_code == 2


def test_events_over_tls(partner: Partner) -> None:
    ready = partner.world.running.ready
    moved = event(f"{base_of(ready.chain_id, ready.contract)}:obj:{partner.goods[0]}", step="inspecting")
    file = partner.folder / "events.jsonld"
    file.write_text(json.dumps(document(moved)))
    named = ["--url", partner.world.base, "--token-file", str(partner.folder / "token")]
    refused = partner.run("epcis", "import", str(file), *named)
    assert refused.exit_code == 2
    assert "certificate verify failed" in refused.output
    done = partner.run("epcis", "import", str(file), *named, *partner.trusting)
    assert done.exit_code == 0, done.output
    assert "1 events, 1 recorded" in done.output
    assert partner.run("epcis", "export", *named).exit_code == 1
    exported = partner.run("epcis", "export", *named, *partner.trusting, "--pending")
    assert exported.exit_code == 0, exported.output
    assert "epcis export: 2 events" in exported.output


def test_a_certificate_needs_no_token(partner: Partner) -> None:
    issued = partner.world.authority.issue_to(partner.maker.boss.username)
    (partner.folder / "me.pem").write_bytes(issued.certificate + issued.key)
    command = ["epcis", "export", "--url", partner.world.base, *partner.trusting]
    assert "HTTP 401" in partner.run(*command).output
    done = partner.run(*command, *partner.as_oneself)
    assert done.exit_code == 0, done.output
    assert "epcis export: 1 events" in done.output


def test_a_command_speaks_tls_when_it_is_told_whom_to_trust(world: World, tmp_path: Path) -> None:
    issued = world.authority.issue()
    (tmp_path / "me.pem").write_bytes(issued.certificate + issued.key)
    (tmp_path / "token").write_text("rubbish")
    command = ["labels", "--serial", "1", "--node", world.grpc, "--token-file", str(tmp_path / "token")]
    ca, identity = ["--tls-ca", str(world.folder / "ca.pem")], ["--tls-identity", str(tmp_path / "me.pem")]
    out = str(tmp_path / "labels.pdf")
    assert "UNAUTHENTICATED" in CliRunner().invoke(main, [*command, *ca, *identity, "--out", out]).output
    assert "UNAVAILABLE" in CliRunner().invoke(main, [*command, *ca, "--out", out]).output
    assert "UNAVAILABLE" in CliRunner().invoke(main, [*command, "--out", out]).output
    for wrong in (["--tls-ca", str(tmp_path / "token")], identity, ["--tls-ca", str(tmp_path / "none")]):
        result = CliRunner().invoke(main, [*command, *wrong, "--out", out])
        assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output
        assert "--tls-" in result.output
