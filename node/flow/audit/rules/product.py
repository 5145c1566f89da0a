"""Step 12: what the goods are."""

from __future__ import annotations

from collections.abc import Iterator

from node.domain.form import ProduceForm, rfc3339
from node.domain.model import CircType
from node.flow.audit.findings import What, quoted
from node.flow.audit.rules.case import Case
from node.flow.audit.shown import ShownCirc, ShownGoods


def check(case: Case, shown: ShownGoods) -> None:
    """Class, serial, org and creator against the first produce circ."""
    if shown.goods_id != case.goods_id:
        case.differ(12, What.OTHER_GOODS, f"the node answers with goods {quoted(shown.goods_id)}")
    found = _first_produce(case)
    if found is None:
        if case.claims:
            case.differ(12, What.PRODUCT, "the first produce circ is not shown: nothing says what the goods are")
        return
    circ, form_holds = found
    if shown.creator is not None and shown.creator != circ.operator:
        case.differ(
            12,
            What.CREATOR,
            f"their creator is shown as {quoted(shown.creator)}, the first produce circ's operator is "
            f"{quoted(circ.operator)}",
        )
    if circ.is_withheld:
        case.differ_circ(
            12,
            What.PRODUCT,
            circ,
            "is the first produce of the goods, whose form is the node's own: it can't be forgotten",
        )
    if not form_holds:
        return  # step 6 has said that the form is another
    try:
        form = ProduceForm.from_bytes(circ.form)
    except ValueError:
        case.differ_circ(
            12, What.PRODUCT, circ, "is the first produce of the goods, but its form does not say what was produced"
        )
        return
    for name, said, proven in _products(shown, form):
        if said != proven:
            case.differ(
                12,
                What.PRODUCT,
                f"{name} is shown as {quoted(said)}, the form of the first produce circ says {quoted(proven)}",
            )


def _first_produce(case: Case) -> tuple[ShownCirc, bool] | None:
    """The circ whose form says what the goods are, and whether the form is the one that the chain has.

    While the chain has none, the first that waits says it, for what that is worth.
    """
    if not case.claims:
        first = case.waiting[0] if case.waiting and not case.facts.times else None
        return None if first is None or first.circ_type != CircType.PRODUCE else (first, not first.is_withheld)
    shown = [claim for claim in case.claims.values() if claim.event.circ.circ_type is CircType.PRODUCE]
    produced = [event for event in case.facts.events or () if event.circ.circ_type is CircType.PRODUCE]
    if not shown:
        return None
    first_shown = min(shown, key=lambda claim: claim.event.place)
    if produced and produced[0].place != first_shown.event.place:
        return None
    return first_shown.shown, first_shown.form_holds


def _products(shown: ShownGoods, form: ProduceForm) -> Iterator[tuple[str, object, object]]:
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
