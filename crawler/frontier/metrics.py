"""How a fleet stands, as metrics for Prometheus.

The text format of https://prometheus.io/docs/instrumenting/exposition_formats/, made by Prometheus' own library.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from crawler.frontier.account import FIGURES, Account, told
from crawler.frontier.interface import State


def metrics(one: Account) -> bytes:
    """One account as the answer to a scrape."""
    registry = CollectorRegistry()
    registry.register(_Account(one))
    return generate_latest(registry)


class _Account(Collector):
    """One account in the library's terms. Worker names are ours; no text of strangers is a label."""

    def __init__(self, one: Account) -> None:
        self._one = one

    def collect(self) -> Iterator[Metric]:
        """The library's way of asking."""
        one = self._one
        for name, what in FIGURES.items():
            yield GaugeMetricFamily(f"knockfirst_frontier_{name}", what, value=getattr(one.counts, name))
        running = GaugeMetricFamily("knockfirst_state", "1 for the state the fleet is in", labels=["state"])
        for state in State:
            running.add_metric([state], float(state is one.state))
        yield running
        silence = GaugeMetricFamily("knockfirst_worker_silence_seconds", "since it was heard of", labels=["worker"])
        held = GaugeMetricFamily("knockfirst_worker_leases", "URLs that a worker holds", labels=["worker"])
        done = CounterMetricFamily("knockfirst_decisions", "final decisions", labels=["worker", "verdict"])
        for worker in one.workers:
            silence.add_metric([worker.name], max(one.now - worker.seen_at, 0.0))
            held.add_metric([worker.name], worker.leases)
            for verdict, number in sorted(told(worker).verdicts.items()):
                done.add_metric([worker.name, verdict], number)
        yield from (silence, held, done)
