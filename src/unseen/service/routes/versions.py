"""GET /v1/models/{name}/versions; POST promote and rollback; PUT policy; DELETE a version."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from unseen.detector.policy import Policy
from unseen.errors import DataError
from unseen.service.access import allowed
from unseen.service.leftovers import prune
from unseen.service.registry import of_model
from unseen.service.state import Number, Service, TheService
from unseen.service.store.tables import versions
from unseen.service.tokens import Who

router = APIRouter(prefix="/v1/models/{name}", tags=["versions"])
Reader = Annotated[Who, Depends(allowed("read"))]
Manager = Annotated[Who, Depends(allowed("manage"))]


class Seen(BaseModel):
    """At which revision the model was seen."""

    model_config = ConfigDict(extra="forbid")

    revision: int | None = Field(
        default=None, description="refused with 409 where the model is at another one meanwhile"
    )


class Cost(BaseModel):
    """What a miss and an alarm cost, in one unit."""

    model_config = ConfigDict(extra="forbid")

    miss: float
    alarm: float


class PolicyGiven(Seen):
    """Which p-values raise an alert: one of the four."""

    alpha: float | None = Field(
        default=None, description="share of normal rows that may be flagged"
    )
    fdr: float | None = Field(default=None, description="share of alarms that may be false")
    per_day: float | None = Field(default=None, description="false alarms a day, with `traffic`")
    traffic: float | None = Field(default=None, description="rows a day")
    cost: Cost | None = None

    def policy(self) -> Policy:
        """The policy; DataError unless exactly one is given."""
        given = [self.alpha, self.fdr, self.per_day, self.cost]
        if given.count(None) != 3 or (self.per_day is None) != (self.traffic is None):
            raise DataError(
                "expected one policy: 'alpha', 'fdr', 'per_day' with 'traffic', or 'cost' with "
                "'miss' and 'alarm'"
            )
        if self.cost is not None:
            return Policy.cost(self.cost.miss, self.cost.alarm)
        if self.per_day is not None and self.traffic is not None:
            return Policy.per_day(self.per_day, self.traffic)
        return Policy.of(self.alpha, self.fdr)


class Version(BaseModel):
    """A saved detector of a model."""

    version: int
    origin: str = Field(description="given, retrain or recalibrate")
    created: datetime
    by: str | None
    serves: bool
    facts: dict[str, Any] = Field(description="what it learned, and what that changed")


class Versions(BaseModel):
    """The versions of a model, newest first, and what serves."""

    model: str
    revision: int
    current: int
    previous: int | None
    policy: dict[str, Any]
    versions: list[Version]


@router.get("/versions")
def list_versions(name: str, service: TheService, who: Reader) -> Versions:
    """The versions of a model, which of them serves, and its policy."""
    return _versions_of(service, name)


@router.post("/versions/{number}/promote")
def promote_version(
    name: str, number: Number, service: TheService, who: Manager, seen: Seen | None = None
) -> Versions:
    """Let a version serve from now on."""
    service.registry.promote(name, number, who.name, (seen or Seen()).revision)
    return _versions_of(service, name)


@router.post("/rollback")
def roll_back(name: str, service: TheService, who: Manager, seen: Seen | None = None) -> Versions:
    """Go back to the version that served before."""
    service.registry.rollback(name, who.name, (seen or Seen()).revision)
    return _versions_of(service, name)


@router.put("/policy")
def put_policy(name: str, given: PolicyGiven, service: TheService, who: Manager) -> Versions:
    """Say which p-values raise an alert from now on."""
    service.registry.decide(name, given.policy(), who.name, given.revision)
    return _versions_of(service, name)


@router.delete("/versions/{number}")
def prune_version(name: str, number: Number, service: TheService, who: Manager) -> Versions:
    """Remove the saved detector of a version that is not needed; its alerts and facts stay."""
    prune(service.registry, name, number, who.name)
    return _versions_of(service, name)


def _versions_of(service: Service, name: str) -> Versions:
    with service.store.reading() as connection:
        model = of_model(connection, name)
        mine = select(versions).where(versions.c.model == name)
        rows = connection.execute(mine.order_by(versions.c.number.desc())).all()
    return Versions(
        model=name,
        revision=model.revision,
        current=model.current,
        previous=model.previous,
        policy={"kind": model.policy, "level": model.level, "traffic": model.traffic},
        versions=[
            Version(
                version=row.number,
                origin=row.origin,
                created=row.created,
                by=row.by,
                serves=row.number == model.current,
                facts=row.facts,
            )
            for row in rows
        ],
    )
