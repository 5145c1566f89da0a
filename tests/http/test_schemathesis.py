"""schemathesis reads /openapi.json and tries each operation: no 5xx, and nothing that the document does not say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.servers import ROOT
from tests.support import people
from tests.support.environment import environment
from tests.support.node import RunningNode, running, vtrace

SCHEMATHESIS = "schemathesis==4.32.5"
HOME = ROOT / ".set-up" / "schemathesis"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
EXAMPLES_MAX = 2
SECONDS_MAX = 280


@pytest.fixture(scope="module")
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node that an admin's random calls may leave in whatever state."""
    with running(tmp_path_factory.mktemp("schemathesis") / "data") as started:
        yield started


def test_nothing_undocumented_comes_back(own_node: RunningNode, tmp_path: Path) -> None:
    python = environment(HOME, SCHEMATHESIS)
    if python is None:
        pytest.skip(f"{SCHEMATHESIS} can't be installed here, so nothing is tried at random")
    maker = people.maker(own_node.client)
    maker.goods(2)
    admin = people.register(own_node.client)
    granted = vtrace("admin", "grant", admin.username, "admin", "--data-dir", str(own_node.data_dir))
    assert granted.returncode == 0, granted.stderr
    url = f"http://{own_node.ready['http']}/openapi.json"
    common = ["--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES_MAX), "--seed", "1", "--workers", "2"]
    common += ["--checks", ",".join(CHECKS), "--no-shrink", "--continue-on-failure"]
    token = f"Authorization: Bearer {admin.client.token}"
    done = subprocess.run(
        # Not DeleteUser: an empty name is the caller's own, and then no other operation would be reached any more.
        [
            str(python),
            "-m",
            "schemathesis.cli",
            "run",
            url,
            "-H",
            token,
            "--exclude-operation-id",
            "DeleteUser",
            # Streams have no end that could be waited for: tests/http/test_events.py.
            "--exclude-operation-id",
            "WatchCirc",
            "--exclude-operation-id",
            "WatchOrgCirc",
            *common,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in own_node.log()
    print(*done.stdout.splitlines()[-12:], sep="\n", file=sys.stderr)
