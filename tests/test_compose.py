"""The compose files are some, say nothing that the node does not understand, and give nobody more than is needed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ruamel.yaml import YAML

from node.cli import serve

ROOT = Path(__file__).parent.parent
PRODUCTION, DEVELOPMENT = COMPOSE = [ROOT / "docker-compose.yml", ROOT / "compose.dev.yml"]
SCRIPTS = ROOT / "scripts" / "compose"
VALIDATORS = [f"validator{number}" for number in range(1, 5)]
both = pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(path.read_text())
    return found


@both
def test_it_follows_the_compose_schema(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@both
def test_compose_itself_reads_it(path: Path) -> None:
    command = ["docker", "compose", "--file", str(path), "config", "--quiet"]
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=60, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("docker compose is not here")
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@both
def test_every_variable_is_an_option_of_serve(path: Path) -> None:
    known = {str(parameter.envvar) for parameter in serve.params}
    environment = read(path)["services"]["node"]["environment"]
    in_image = [word.split("=")[0] for word in (ROOT / "Dockerfile").read_text().split() if word.startswith("VTRACE_")]
    assert {*environment, *in_image} <= known


@both
def test_everything_that_it_names_is_there(path: Path) -> None:
    found = read(path)
    for name, service in found["services"].items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (ROOT / source).is_dir() if source.startswith("./") else source in found["volumes"], name
        for network in service.get("networks", []):
            assert network in found["networks"], name
        for other, wanted in service.get("depends_on", {}).items():
            has_check = "healthcheck" in found["services"][other]
            assert has_check or wanted["condition"] != "service_healthy", f"{name} waits for {other} for ever"
    used = {volume.partition(":")[0] for service in found["services"].values() for volume in service.get("volumes", [])}
    assert set(found["volumes"]) <= used


@both
def test_nothing_is_reached_from_other_machines(path: Path) -> None:
    for service in read(path)["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
        assert "privileged" not in service
        assert service.get("network_mode") in (None, "none")


@both
def test_the_node_writes_nothing_but_its_data_and_may_do_nothing_else(path: Path) -> None:
    node = read(path)["services"]["node"]
    assert_hardened(node)
    writable = [volume for volume in node["volumes"] if not volume.endswith(":ro")]
    assert [volume.partition(":")[2] for volume in writable] == ["/data", "/backups"]
    assert node["tmpfs"] == ["/tmp"]


def assert_hardened(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_all_that_goes_on_running_is_checked_restarted_and_may_do_nothing_else() -> None:
    services = read(PRODUCTION)["services"]
    assert services.keys() == {"node", "db", "kubo", *VALIDATORS, "network", "secrets"}
    for name, service in services.items():
        if name in ("network", "secrets"):
            assert service["network_mode"] == "none"
            continue
        assert_hardened(service)
        assert "healthcheck" in service, name
        assert service["restart"] == "unless-stopped"
        assert name == "node" or service["user"].partition(":")[0] not in ("", "0", "root")


def test_no_secret_stands_in_a_file() -> None:
    services = read(PRODUCTION)["services"]
    url = services["node"]["environment"]["VTRACE_DB"]
    assert urlsplit(url).password is None
    assert [key for key in services["db"]["environment"] if "PASSWORD" in key] == ["POSTGRES_PASSWORD_FILE"]


def test_the_image_runs_as_a_user_of_a_fixed_number_and_has_no_compiler() -> None:
    _, final = (ROOT / "Dockerfile").read_text().split("\nFROM ")[-2:]
    stages = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM")]
    assert len(stages) == 2
    lines = final.splitlines()
    assert lines.index("USER vtrace") > max(number for number, line in enumerate(lines) if line.startswith("RUN"))
    (uid,) = {word for word in final.split() if word.isdecimal() and len(word) == 5 and word.startswith("1")}
    assert f"{uid}:{uid}" in read(PRODUCTION)["services"]["secrets"]["entrypoint"]


# The network of the validators


def test_gas_is_free_and_a_block_comes_each_second() -> None:
    made = json.loads((SCRIPTS / "qbft.json").read_text())
    genesis = made["genesis"]
    assert made["blockchain"]["nodes"] == {"generate": True, "count": len(VALIDATORS)}
    assert genesis["config"]["qbft"]["blockperiodseconds"] == 1
    assert genesis["config"]["zeroBaseFee"] is True
    assert genesis["baseFeePerGas"] == "0x0"
    assert genesis["config"]["cancunTime"] == 0  # what the contract is compiled for
    assert int(genesis["gasLimit"], 16) >= 2 * 16_777_216
    services = read(PRODUCTION)["services"]
    addresses = [services[name]["networks"]["ledger"]["ipv4_address"] for name in VALIDATORS]
    assert services["network"]["command"] == addresses
    for name in VALIDATORS:
        assert "--min-gas-price=0" in services[name]["command"]
        assert f"{name}-data:/validators/{name[-1]}" in services["network"]["volumes"]


BESU = """#!/bin/sh
# As the real one: besu operator generate-blockchain-config --config-file=… --to=… --private-key-file-name=key
set -eu
[ "$1 $2" = "operator generate-blockchain-config" ]
for word; do case $word in --to=*) to=${word#--to=} ;; --config-file=*) [ -f "${word#--config-file=}" ] ;; esac; done
[ ! -e "$to" ] || { echo "Output directory already exists." >&2; exit 1; }
mkdir -p "$to/keys"
echo '{"made": true}' > "$to/genesis.json"
for n in 1 2 3 4; do
  mkdir "$to/keys/0x000$n"
  printf 0x%064d $n > "$to/keys/0x000$n/key"
  printf 0x%0128d $n > "$to/keys/0x000$n/key.pub"
  if [ -e "$DIE_AT" ]; then kill -9 $PPID; fi
done
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    for folder in ("bin", "network", *(f"validators/{number}" for number in range(1, 5))):
        (tmp_path / folder).mkdir(parents=True)
    besu = tmp_path / "bin" / "besu"
    besu.write_text(BESU)
    besu.chmod(0o700)
    return tmp_path


def make_network(home: Path, *addresses: str) -> subprocess.CompletedProcess[str]:
    owner = f"{os.getuid()}:{os.getgid()}"
    words = [SCRIPTS / "qbft.json", home / "network", home / "validators", owner, *addresses]
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", str(SCRIPTS / "make-network"), *map(str, words)],
        env={"PATH": path, "DIE_AT": str(home / "die")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]


def test_each_validator_gets_a_key_of_its_own_once(made: Path) -> None:
    (made / "die").touch()
    assert make_network(made, *ADDRESSES).returncode
    assert not (made / "network" / "static-nodes.json").exists()
    (made / "die").unlink()
    done = make_network(made, *ADDRESSES)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (made / "network").iterdir()) == ["genesis.json", "static-nodes.json"]
    nodes = json.loads((made / "network" / "static-nodes.json").read_text())
    assert nodes == [f"enode://{n:0128d}@10.0.0.{n}:30303" for n in range(1, 5)]
    keys = [made / "validators" / str(n) / "key" for n in range(1, 5)]
    assert [key.read_text() for key in keys] == [f"0x{n:064d}" for n in range(1, 5)]
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o400}
    (made / "bin" / "besu").unlink()
    assert make_network(made, *ADDRESSES).returncode == 0


@pytest.mark.parametrize(("total", "why"), [(3, "more keys than addresses"), (5, "more addresses than keys")])
def test_as_many_addresses_as_keys_are_wanted(made: Path, total: int, why: str) -> None:
    done = make_network(made, *[*ADDRESSES, "10.0.0.5"][:total])
    assert (done.returncode, why in done.stderr) == (1, True)
    assert not (made / "network" / "static-nodes.json").exists()


def make_secrets(folder: Path) -> None:
    owner = f"{os.getuid()}:{os.getgid()}"
    subprocess.run(["/bin/sh", str(SCRIPTS / "make-secrets"), str(folder), owner, owner], timeout=60, check=True)


def test_the_password_of_the_database_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("of one that was killed")
    make_secrets(tmp_path)
    password, passfile = (tmp_path / "password").read_text(), (tmp_path / "pgpass").read_text()
    assert len(bytes.fromhex(password)) == 32
    services = read(PRODUCTION)["services"]
    url = urlsplit(services["node"]["environment"]["VTRACE_DB"])
    user, database = (services["db"]["environment"][f"POSTGRES_{name}"] for name in ("USER", "DB"))
    assert passfile == f"{url.hostname}:5432:{database}:{user}:{password}\n"
    assert (url.hostname, url.username, url.path, url.query) == ("db", user, f"/{database}", "passfile=/secrets/pgpass")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o400}
    make_secrets(tmp_path)
    assert (tmp_path / "password").read_text() == password


class Readiness(BaseHTTPRequestHandler):
    """A validator's endpoint of that name, with two peers."""

    peers = 2

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        wanted = int(parse_qs(asked.query)["minPeers"][0])
        self.send_response(200 if asked.path == "/readiness" and self.peers >= wanted else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def validator() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Readiness) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_validator_is_healthy_with_enough_others(validator: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check = ["/bin/bash", str(SCRIPTS / "is-ready")]
    assert subprocess.run([*check, str(validator)], timeout=60, check=False).returncode == 0
    monkeypatch.setattr(Readiness, "peers", 1)
    assert subprocess.run([*check, str(validator)], timeout=60, check=False).returncode == 1
    assert subprocess.run([*check, "1"], timeout=60, check=False, capture_output=True).returncode == 1
