"""The flags of what works: this process, or workers on many machines."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from unseen.errors import DataError


@Parameter(name="*")
@dataclass(frozen=True)
class Spreading:
    """What works."""

    engine: Annotated[
        Literal["local", "ray"],
        Parameter(help="what works: this process, or workers of Ray, on this machine or many"),
    ] = "local"
    address: Annotated[
        str | None,
        Parameter(
            metavar="ADDR",
            help="of a Ray cluster that runs, or auto; without it workers start on this machine",
        ),
    ] = None
    workers: Annotated[
        int | None, Parameter(metavar="N", help="workers to start here; usually one a core")
    ] = None

    @property
    def wide(self) -> bool:
        """Whether work goes to workers; DataError for flags that mean nothing without them."""
        if self.engine == "local" and (self.address is not None or self.workers is not None):
            flag = "--address" if self.workers is None else "--workers"
            raise DataError(f"{flag} is for --engine ray: add that, or leave {flag} out")
        return self.engine == "ray"

    def engine_of(self) -> Any:
        """The engine."""
        from unseen.scoring.engine import Engine

        return Engine(self.address, self.workers)

    def started(self) -> AbstractContextManager[Any]:
        """What works through items: in order here, or as they are done by workers."""
        return self.engine_of().started() if self.wide else nullcontext(map)
