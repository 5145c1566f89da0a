"""The data that a page carries for its script."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

DATA = re.compile(r'(<script type="application/json" id="trace">)(.*?)(</script>)', re.DOTALL)


def data_of(html: str) -> Any:
    found = DATA.search(html)
    assert found is not None
    return json.loads(found[2])


def with_data(html: str, change: Callable[[Any], None]) -> str:
    """The page with other data, but the same texts."""
    data = data_of(html)
    change(data)
    made = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    return DATA.sub(lambda found: found[1] + made + found[3], html)
