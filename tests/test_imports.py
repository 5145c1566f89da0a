"""What a node keeps out of its memory as long as nobody asks for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from node.chain import signer
from node.chain.rpc import HttpRpc
from node.config import EMBEDDED
from tests.chain.servers import anvil, fund

NODE = """
import json, sys
from pathlib import Path
from node.app import Node
from node.config import Config
keys = tuple(map(Path, sys.argv[3:]))
config = Config(Path(sys.argv[1]), "127.0.0.1:0", "127.0.0.1:0", sys.argv[2], signer_keys=keys)
node = Node(config, on_fatal=print)
node.start()
try:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
finally:
    node.stop()
"""
ONCE_ASKED_FOR = {"numpy", "onnxruntime", "jcamp", "zxcvbn", "fpdf", "PIL", "fontTools"}
"""What runs models, holds common passwords, and draws labels."""
EVM = {"eth", "trie", "py_ecc"}


def _loaded(data_dir: Path, chain: str, *keys: Path) -> set[str]:
    """The packages of a Python in which a node has just been started."""
    command = [sys.executable, "-c", NODE, str(data_dir), chain, *map(str, keys)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("chain", [EMBEDDED, "url"])
def test_a_node_has_no_more_in_memory_than_it_needs(tmp_path: Path, chain: str) -> None:
    if chain == EMBEDDED:
        loaded = _loaded(tmp_path / "data", chain)
        assert loaded >= {"grpc", "eth"}
        assert loaded & ONCE_ASKED_FOR == set()
    else:
        key, key_file = signer.new_key(), tmp_path / "signer.key"
        key_file.touch(mode=0o600)
        key_file.write_text(key.hex())
        with anvil() as url:
            rpc = HttpRpc(url)
            fund(rpc, signer.address_of(key))
            rpc.close()
            loaded = _loaded(tmp_path / "data", url, key_file)
        assert loaded >= {"grpc", "node"}
        assert loaded & (ONCE_ASKED_FOR | EVM) == set()
