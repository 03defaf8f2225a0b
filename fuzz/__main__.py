"""Run cases for some minutes, or one case once more: `python -m fuzz --help`."""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import time
from collections import Counter
from itertools import count
from pathlib import Path
from types import ModuleType

# a forked process must not wait for threads that it does not have
os.environ.setdefault("OMP_NUM_THREADS", "1")

from fuzz import bundles, commands, images, tables
from fuzz.trial import Found, Trial, name_of

AREAS = {name_of(area): area for area in (tables, bundles, images, commands)}
JOBS = 2


class Campaign:
    """Cases of some areas in turn, two at a time, until time is up, and those that run then
    are broken off; each kind of fault is printed once, and counted."""

    def __init__(self, areas: list[ModuleType], first: int) -> None:
        self.queue = ((area, seed) for seed in count(first) for area in areas)
        self.first = self.next = first
        self.running: dict[int, Trial] = {}
        self.cases: Counter[str] = Counter()
        self.kinds: Counter[tuple[str, str]] = Counter()

    def run(self, minutes: float) -> None:
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            while len(self.running) < JOBS:
                self.begin()
            self.collect(
                select.select(list(self.running), [], [], max(0, end - time.monotonic()))[0]
            )
        for trial in self.running.values():
            trial.end()

    def begin(self) -> None:
        area, seed = next(self.queue)
        trial = Trial(area, seed)
        self.running[trial.reading] = trial
        self.next = seed + 1

    def collect(self, ready: list[int]) -> None:
        for trial in [self.running.pop(number) for number in ready]:
            self.cases[name_of(trial.area)] += 1
            if found := trial.finish():
                self.tell(name_of(trial.area), trial.seed, found)

    def tell(self, area: str, seed: int, found: Found) -> None:
        self.kinds[area, found.kind] += 1
        if self.kinds[area, found.kind] == 1:
            print(
                f"FOUND {area}: {found.text}\n    python -m fuzz --area {area} --seed {seed}",
                flush=True,
            )

    def summary(self) -> str:
        ran = ", ".join(f"{cases:,} of {area}" for area, cases in self.cases.items())
        faults = "".join(
            f"\n{times:>6,} x {area}: {kind}" for (area, kind), times in self.kinds.most_common()
        )
        return (
            f"{ran}; seeds {self.first} to {self.next - 1}; {len(self.kinds)} kinds of "
            f"faults{faults}"
        )


def once(area: ModuleType, seed: int) -> int:
    found = Trial(area, seed, shown=True).finish()
    print(f"FOUND {name_of(area)}: {found.text}" if found else "nothing found")
    return int(found is not None)


def main() -> int:
    asked = argparse.ArgumentParser(
        prog="python -m fuzz", description="Random tables, bundles, images, commands."
    )
    asked.add_argument(
        "--minutes",
        type=float,
        help="for how long; without it one case is run, of --area and --seed",
    )
    asked.add_argument("--area", choices=list(AREAS), help="one area; without it all")
    asked.add_argument("--seed", type=int, help="the first seed; without it one from the clock")
    asked.add_argument(
        "--resume", type=Path, metavar="FILE", help="begin after the seeds that FILE says were run"
    )
    given = asked.parse_args()
    areas = [AREAS[given.area]] if given.area else list(AREAS.values())
    if given.minutes is None:
        if given.area is None or given.seed is None:
            asked.error("give --minutes, or --area and --seed of one case")
        return once(areas[0], given.seed)
    campaign = Campaign(areas, start(given.seed, given.resume))
    print(
        f"seeds from {campaign.first}, {given.minutes:g} minutes of "
        f"{', '.join(map(name_of, areas))}",
        flush=True,
    )
    try:
        campaign.run(given.minutes)
    finally:
        if given.resume:
            given.resume.write_text(json.dumps({"next": campaign.next}))
    print(campaign.summary())
    return int(bool(campaign.kinds))


def start(seed: int | None, resume: Path | None) -> int:
    if seed is not None:
        return seed
    if resume and resume.exists():
        return int(json.loads(resume.read_text())["next"])
    return int(time.time()) % 1_000_000 * 1000


if __name__ == "__main__":
    sys.exit(main())
