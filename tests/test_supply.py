"""What the node is made of is written down whole, and advisories about it are read, or said not to be had."""

from __future__ import annotations

import json
import re

from scripts import write_sbom
from scripts.known_faults import NO_DATA, ROOT, read_npm, read_pip


def test_every_locked_package_of_the_node_is_in_its_sbom_with_its_hashes() -> None:
    locked = dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    components = write_sbom.of_python()["components"]
    assert {one["name"]: one["version"] for one in components} == locked
    assert all("--hash=sha256:" in one["description"] or one.get("externalReferences") for one in components)


def test_every_locked_npm_package_is_in_its_sbom() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    wanted = {(path.rpartition("node_modules/")[2], one["version"]) for path, one in lock.items() if path}
    found = {(one["name"], one["version"]) for one in _npm()}
    assert {name for name, _ in found} <= {name for name, _ in wanted} | {one.partition("/")[2] for one, _ in wanted}
    assert len(found) > 100


def _npm() -> list[dict[str, str]]:
    found: list[dict[str, str]] = write_sbom.of_npm()["components"]
    return found


def test_a_known_fault_is_told() -> None:
    fault = {"id": "PYSEC-1", "fix_versions": ["2.0"]}
    packages = [{"name": "a", "version": "1.0", "vulns": [fault]}, {"name": "b", "version": "3", "vulns": []}]
    assert read_pip(json.dumps({"dependencies": packages})) == (["a 1.0: PYSEC-1, mended in 2.0"], "")
    advisory = {"vulnerabilities": {"a": {"range": "<2", "severity": "high"}}}
    assert read_npm(json.dumps(advisory)) == (["a <2: high"], "")
    assert read_npm(json.dumps({"vulnerabilities": {}})) == ([], "")


def test_without_advisories_it_is_said_to_be_skipped() -> None:
    unknown = [{"name": "a", "skip_reason": "Dependency not found"}]
    assert read_pip(json.dumps({"dependencies": unknown})) == ([], NO_DATA)
    assert read_pip(json.dumps({"dependencies": [*unknown, {"name": "b", "vulns": []}]})) == ([], "1 packages: a")
    for output in ("", "[]", '{"message":"audit endpoint returned an error","error":{}}'):
        assert read_pip(output) == ([], NO_DATA)
        assert read_npm(output) == ([], NO_DATA)
