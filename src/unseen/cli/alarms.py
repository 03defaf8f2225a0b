"""The flags of the policy: which rows alarm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from cyclopts import Parameter

from unseen.cli.flags import ALPHA


@Parameter(name="*")
@dataclass(frozen=True)
class Alarms:
    """The policy."""

    alpha: Annotated[
        float | None,
        Parameter(help=f"flag this share of normal rows; without another policy {ALPHA}"),
    ] = None
    fdr: Annotated[
        float | None, Parameter(help="flag rows so that this share of the alarms may be false")
    ] = None
    per_day: Annotated[
        float | None,
        Parameter(metavar="N", help="flag normal rows so often a day; needs --traffic"),
    ] = None
    traffic: Annotated[float | None, Parameter(metavar="ROWS", help="rows a day")] = None
    cost: Annotated[
        tuple[float, float] | None,
        Parameter(
            metavar="MISS ALARM",
            help="flag rows whose alarm is worth it, by what a miss and a look at an alarm cost",
        ),
    ] = None

    by_group: Annotated[
        bool, Parameter(help="judge a row beside normal rows of its own domain (fit --group)")
    ] = False

    def apart(self, source: Any) -> Any:
        """The source, its rows judged by domain where that is asked for."""
        from unseen.errors import DataError

        if not self.by_group:
            return source
        if getattr(source, "group", None) is None:
            raise DataError(
                "--by-group judges rows by the column of domains, and this detector was fitted "
                "without one: fit again with --group COL, or leave --by-group out"
            )
        return replace(source, by_group=True)

    def policy(self) -> Any:
        """The policy that is asked for, or the usual one."""
        from unseen.detector.policy import Policy
        from unseen.errors import DataError

        chosen = [
            f"--{name.replace('_', '-')}"
            for name in ("alpha", "fdr", "per_day", "cost")
            if getattr(self, name) is not None
        ]
        if len(chosen) > 1:
            raise DataError(f"expected one policy, found {' and '.join(chosen)}: keep one of them")
        if (self.per_day is None) != (self.traffic is None):
            raise DataError(
                "--per-day and --traffic go together, as in --per-day 20 --traffic 100000: the "
                "alarms that there is time for, and the rows, of one day"
            )
        if self.per_day is not None and self.traffic is not None:
            return Policy.per_day(self.per_day, self.traffic)
        if self.cost is not None:
            return Policy.cost(*self.cost)
        return Policy.of(self.alpha, self.fdr) if chosen else Policy.alpha(ALPHA)
