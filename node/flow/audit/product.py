"""Step 12: what the goods are. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from node.domain.form import ProduceForm, rfc3339
from node.flow.audit.shown import ShownGoods


def products(shown: ShownGoods, form: ProduceForm) -> Iterator[tuple[str, object, object]]:
    """What the node shows of the product, by name, beside what the form says."""
    known, serial = shown.goods_class, shown.serial
    made = form.goods_class
    yield "class id", known and known.id, made.id
    yield "class name", known and known.name, made.name
    yield "class description", known and _text(known.description), made.description
    yield "class trademark", known and known.trademark, made.trademark
    yield "class material_id", known and known.material_id, made.material_id
    yield "class org_id", known and known.org_id, form.org.id
    yield "serial id", serial and serial.id, form.serial.id
    when = None if serial is None or serial.product_time is None else rfc3339(serial.product_time)
    yield "serial product time", when, form.serial.product_time


def _text(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value
