"""Figures as the text that Prometheus reads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import CollectorRegistry

from node.measures import COUNTER, HISTOGRAM, Figure, Spread

WORKER = "worker"

log = logging.getLogger(__name__)

Source = Callable[[], Sequence[Figure]]


class Exposition:
    """Puts together what one scrape sees.

    ``own`` are this process's figures and ``others`` those of its siblings, by the worker's number; ``shared`` are the
    same whichever process says them.
    """

    def __init__(
        self, worker: str, own: Source, shared: Source, others: Callable[[], dict[str, Sequence[Figure]]]
    ) -> None:
        self._worker = worker
        self._own = own
        self._shared = shared
        self._others = others

    def text(self, accept: str) -> tuple[bytes, str]:
        """All figures, in the format that an Accept header asks for, and its media type."""
        found: list[tuple[Figure, dict[str, str]]] = [(figure, {}) for figure in self._shared()]
        workers = {self._worker: self._own(), **self._others()}
        found += [(figure, {WORKER: worker}) for worker, figures in sorted(workers.items()) for figure in figures]
        registry = CollectorRegistry()
        registry.register(_Collected(_families(found)))
        encode, media_type = choose_encoder(accept)
        return encode(registry), media_type


class _Collected:
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(found: Iterable[tuple[Figure, dict[str, str]]]) -> Iterator[Metric]:
    """One family for each name, with the values of all processes."""
    by_name: dict[str, list[tuple[Figure, dict[str, str]]]] = {}
    for figure, more in found:
        by_name.setdefault(figure.name, []).append((figure, more))
    for figures in by_name.values():
        yield _family(figures)


def _family(figures: Sequence[tuple[Figure, dict[str, str]]]) -> Metric:
    first, _ = figures[0]
    values = [({**labels, **more}, value) for figure, more in figures for labels, value in figure.values]
    names = list(values[0][0]) if values else []
    if first.kind == HISTOGRAM:
        histogram = HistogramMetricFamily(first.name, first.help, labels=names)
        for labels, spread in values:
            assert isinstance(spread, Spread)
            bounds = [*(str(float(bound)) for bound in spread.bounds), "+Inf"]
            buckets = [(bound, float(count)) for bound, count in zip(bounds, spread.up_to, strict=True)]
            histogram.add_metric([labels[name] for name in names], buckets, spread.total)
        return histogram
    make = CounterMetricFamily if first.kind == COUNTER else GaugeMetricFamily
    family = make(first.name, first.help, labels=names)
    for labels, value in values:
        assert not isinstance(value, Spread)
        family.add_metric([labels[name] for name in names], value)
    return family
