"""What a running service holds, as its routes are given it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from unseen.service.registry import Registry
from unseen.service.store.store import Store
from unseen.service.traffic import Traffic


@dataclass(frozen=True)
class Limits:
    """What a client may ask for, at most.

    Parameters
    ----------
    body : int
        Bytes of a request.
    rows, columns : int
        Of a table; `rows` of images, too.
    seconds : float
        For a body to arrive.
    rate : float
        Requests a second of one token, on average over ten seconds.
    waiting : int
        Requests that are judged or wait for it; more are turned away at once.
    """

    body: int = 64 << 20
    rows: int = 100_000
    columns: int = 10_000
    seconds: float = 30.0
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
    traffic : Traffic
        Counts rows and alarms.
    ending : list of callable
        Called when no request is answered any more, the last first: buffers are flushed there.
    """

    store: Store
    registry: Registry
    home: Path
    limits: Limits
    traffic: Traffic
    ending: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        """Flush and close all that it holds."""
        while self.ending:
            self.ending.pop()()
        self.store.close()


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    found: Service = request.app.state.service
    return found


TheService = Annotated[Service, Depends(service_of)]
