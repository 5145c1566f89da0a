"""What is left of an index when it is closed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from node.store.db import Store


@pytest.mark.parametrize("is_over", [True, False])
def test_no_threads_connection_outlives_the_index(tmp_path: Path, is_over: bool) -> None:
    store = Store(tmp_path / "index.sqlite3")
    done, go_on = threading.Event(), threading.Event()

    def use() -> None:
        with store.write():
            store.remember(key="value")
        done.set()
        go_on.wait(30)

    thread = threading.Thread(target=use)
    thread.start()
    assert done.wait(30)
    if is_over:
        go_on.set()
        thread.join()
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["index.sqlite3"]
    go_on.set()
    thread.join()
    again = Store(tmp_path / "index.sqlite3")
    assert again.settings()["key"] == "value"
    again.close()
