"""Metrics for Prometheus: what this server did, and how models, alerts and jobs stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, and_, func, select

from unseen.service.store.store import Store, StoreError
from unseen.service.store.tables import ACTIVE, alerts, drifts, jobs, labels, models

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)  # of a request, upper ends
STATES = (*ACTIVE, "done", "failed", "cancelled", "lost")


class Metrics:
    """What a server counts, in a registry of its own: two servers in one process count apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "unseen_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "unseen_request_seconds",
            "From head to answer.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        names = ("model", "version")
        self._rows = Counter("unseen_rows", "Rows or images judged.", names, registry=self.registry)
        self._alarms = Counter("unseen_alarms", "Of these, alarms.", names, registry=self.registry)
        self._failed = Counter(
            "unseen_rows_failed", "Of these, not to be judged.", names, registry=self.registry
        )
        ProcessCollector(registry=self.registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request by the pattern of its route, never by what a client wrote."""
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def judged(self, model: str, version: int, rows: int, alarms: int, failed: int) -> None:
        """Count rows."""
        counts = ((self._rows, rows), (self._alarms, alarms), (self._failed, failed))
        for counter, count in counts:
            counter.labels(model, version).inc(count)

    def watch(self, store: Store, inside: Callable[[], int], skipped: Mapping[str, int]) -> None:
        """Tell, too, what the database knows, how many requests are inside, and how many rows of
        each model were not watched for drift.
        """
        self.registry.register(_Standing(store, inside, skipped))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


class _Standing(Collector):
    """What is asked for at each scrape."""

    def __init__(self, store: Store, inside: Callable[[], int], skipped: Mapping[str, int]) -> None:
        self.store, self.inside, self.skipped = store, inside, skipped

    def describe(self) -> list[Metric]:
        return []  # so that registering asks nothing of the database

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "unseen_requests_inside", "Requests judged now, or waiting for it.", self.inside()
        )
        skipped = CounterMetricFamily(
            "unseen_rows_not_watched", "Rows not watched for drift, under load.", labels=["model"]
        )
        for model, count in dict(self.skipped).items():
            skipped.add_metric([model], count)
        yield skipped
        try:
            with self.store.reading() as connection:
                found, up = list(_stands(connection)), 1
        except StoreError:
            found, up = [], 0
        yield GaugeMetricFamily("unseen_store_up", "Whether the database answers.", up)
        yield from found


def _stands(connection: Connection) -> Iterator[Metric]:
    """Models, alerts, labels, jobs and drift, as the database knows them."""
    version = GaugeMetricFamily("unseen_version", "Version that serves.", labels=["model"])
    drifted = GaugeMetricFamily(
        "unseen_drifted", "Whether what passes left its band, by the last report.", labels=["model"]
    )
    last = select(func.max(drifts.c.id)).group_by(drifts.c.model, drifts.c.version)
    mine = and_(
        drifts.c.model == models.c.name,
        drifts.c.version == models.c.current,
        drifts.c.id.in_(last),
    )
    serving = select(models.c.name, models.c.current, drifts.c.drifted)
    for name, current, drift in connection.execute(
        serving.select_from(models.outerjoin(drifts, mine))
    ):
        version.add_metric([name], current)
        drifted.add_metric([name], float(drift or 0))
    waiting = GaugeMetricFamily("unseen_open_alerts", "Alerts not answered.", labels=["model"])
    open_ = select(alerts.c.model, func.count()).where(alerts.c.answer.is_(None))
    for name, count in connection.execute(open_.group_by(alerts.c.model)):
        waiting.add_metric([name], count)
    answers = GaugeMetricFamily(
        "unseen_labels", "Labels that were not undone.", labels=["model", "answer"]
    )
    stands = select(labels.c.model, labels.c.answer, func.count()).where(labels.c.undone.is_(None))
    for name, answer, count in connection.execute(stands.group_by(labels.c.model, labels.c.answer)):
        answers.add_metric([name, answer], count)
    states = GaugeMetricFamily("unseen_jobs", "Jobs by state.", labels=["state"])
    by_state = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    counted: dict[str, int] = {state: int(count) for state, count in connection.execute(by_state)}
    for state in STATES:
        states.add_metric([state], counted.get(state, 0))
    yield from (version, drifted, waiting, answers, states)
