"""What a running service holds, as its routes are given it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi import Path as InPath

from unseen.service.answers import LARGEST
from unseen.service.door import Door
from unseen.service.jobs import Runner
from unseen.service.metrics import Metrics
from unseen.service.recent import KEPT
from unseen.service.registry import Registry
from unseen.service.store.store import Store
from unseen.service.traffic import Traffic
from unseen.service.watch import Watch


@dataclass(frozen=True)
class Limits:
    """What a client may ask for, at most.

    Parameters
    ----------
    body : int
        Bytes of a request that brings rows, images or labels.
    json : int
        Bytes of one that brings rows as one JSON text, which takes many times as much in memory.
    small : int
        Bytes of any other.
    rows, columns : int
        Of a table.
    images, pixels : int
        In one request.
    seconds : float
        For a body to arrive.
    judging : float
        Seconds that the rows of one request may take.
    rate : float
        Requests a second of one token, on average over ten seconds.
    waiting : int
        Requests that are judged or wait for it; more are turned away at once.
    """

    body: int = 64 << 20
    json: int = 8 << 20
    small: int = 1 << 20
    rows: int = 100_000
    columns: int = 10_000
    images: int = 1_000
    pixels: int = 400_000_000
    seconds: float = 30.0
    judging: float = 120.0
    rate: float = 200.0
    waiting: int = 16


@dataclass(frozen=True)
class Service:
    """A running service.

    Parameters
    ----------
    store : Store
        The database.
    registry : Registry
        The models.
    home : Path
        The folder of versions.
    limits : Limits
        What clients may ask for.
    ending : list of callable
        Called when no request is answered any more, the last first: buffers are flushed there.
    keep : int
        Rows of each model that passed of late, to keep for recalibration; 0 keeps none.
    train : dict of str to Path
        Training files or folders, by the names of their models, to learn from again.
    runner : Runner
        What starts jobs.
    watch : Watch
        What watches the rows that pass.
    metrics : Metrics
        What is counted.
    """

    store: Store
    registry: Registry
    home: Path
    limits: Limits
    ending: list[Callable[[], None]] = field(default_factory=list)
    traffic: Traffic = field(init=False)

    keep: int = KEPT
    train: Mapping[str, Path] = field(default_factory=dict)
    runner: Runner = field(default_factory=Runner)
    watch: Watch = field(default_factory=Watch)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        """Count rows and alarms from now on."""
        object.__setattr__(self, "traffic", Traffic(self.store))
        self.ending.append(self.traffic.close)

    @cached_property
    def door(self) -> Door:
        """Who comes in, how often, and how many at once."""
        return Door(self.store, self.limits.rate, self.limits.waiting)

    def begin(self) -> None:
        """Start what works beside the requests: jobs, and the watch."""
        self.runner.start(self.registry)
        self.ending.append(self.runner.close)
        self.watch.start(self.store, self.keep)
        self.ending.append(self.watch.close)
        self.metrics.watch(self.store, lambda: self.door.inside, self.watch.skipped)

    def close(self) -> None:
        """Flush and close all that it holds."""
        self.door.close()
        while self.ending:
            self.ending.pop()()
        self.store.close()


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    found: Service = request.app.state.service
    return found


TheService = Annotated[Service, Depends(service_of)]
Number = Annotated[int, InPath(ge=1, le=LARGEST)]  # of an alert, or of a job
