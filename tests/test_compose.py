"""docker-compose.yml is a compose file, and says nothing that the node does not understand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from node.cli import serve

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker-compose.yml"


def test_it_follows_the_compose_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_variable_is_an_option_of_serve() -> None:
    known = {str(parameter.envvar) for parameter in serve.params}
    environment = YAML(typ="safe").load(COMPOSE.read_text())["services"]["node"]["environment"]
    in_image = [word.split("=")[0] for word in (ROOT / "Dockerfile").read_text().split() if word.startswith("VTRACE_")]
    assert {*environment, *in_image} <= known


def test_the_node_writes_nothing_but_its_data_and_may_do_nothing_else() -> None:
    node = YAML(typ="safe").load(COMPOSE.read_text())["services"]["node"]
    assert node["read_only"] is True
    assert node["cap_drop"] == ["ALL"]
    assert node["security_opt"] == ["no-new-privileges:true"]
    assert [volume.partition(":")[2] for volume in node["volumes"]] == ["/data"]
    assert node["tmpfs"] == ["/tmp"]
