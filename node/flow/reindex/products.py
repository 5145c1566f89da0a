"""Step 6, goods: which class, serial and org they are of stands in the form of the circ that made them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from node.domain.form import ProduceForm, micros_of
from node.domain.model import GOODS_ID_MAX
from node.domain.replay import Holdings
from node.flow.goods import STATE_START
from node.store.rebuild import Rebuild


def place(new: Rebuild, holdings: Holdings, lost: Callable[[str], None]) -> None:
    """Write goods with their custody, and every class and serial as their produce forms have them."""
    known: dict[bytes, int] = {}
    for circ_id, user_id, form in new.products.first_circs():
        if form not in known:
            try:
                made = ProduceForm.from_bytes(form)
                product_time = micros_of(_sound(made).serial.product_time)
            except ValueError:
                continue
            new.products.put(made, product_time, user_id, STATE_START)
            known[form] = made.serial.id
        new.products.put_goods(circ_id, known[form], user_id, STATE_START)
    new.products.hold(_custody(holdings))
    unknown = new.products.settle(STATE_START)
    if unknown:
        lost(f"{unknown} goods: the form that says what they are is missing; their class and serial are unknown")


def _custody(holdings: Holdings) -> Iterator[tuple[int, int, int]]:
    for goods_id in holdings:
        state = holdings[goods_id]
        yield goods_id, state.holder, state.times


def _sound(made: ProduceForm) -> ProduceForm:
    """A form whose members are of the kinds that the index holds; ValueError for another."""
    numbers = (made.goods_class.id, made.goods_class.material_id, made.serial.id, made.org.id)
    texts = (made.goods_class.name, made.goods_class.description, made.goods_class.trademark, made.serial.product_time)
    if not all(type(number) is int and 0 <= number <= GOODS_ID_MAX for number in numbers):
        raise ValueError("an id that is none")
    if not all(isinstance(text, str) for text in (*texts, made.org.name, made.org.code)):
        raise ValueError("a text that is none")
    return made
