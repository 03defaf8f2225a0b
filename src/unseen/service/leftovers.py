"""Folders that no version has: what killed jobs left, and versions that nobody wants any more."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from unseen.errors import BundleError
from unseen.io.paths import hidden, sweep
from unseen.service.registry import Conflict, Registry, check_version, model_to_change
from unseen.service.store.tables import jobs, now, versions
from unseen.service.store.trail import tell
from unseen.storage.manifest import JSON, Manifest

JOB = "job"  # fact of a saved detector: the number of the job that made it


def tidy(registry: Registry) -> None:
    """Remove what jobs that ended otherwise than by their end left in the folders of versions."""
    root = registry.home / "models"
    for place in sorted(root.iterdir()) if os.path.isdir(root) else ():
        if not os.path.isdir(place):
            continue
        sweep(place)
        made = {
            folder: job
            for folder in place.iterdir()
            if folder.name.isdigit() and (job := _job_of(folder)) is not None
        }
        if not made:
            continue
        with registry.store.reading() as connection:  # after the folders: what is new stays
            over = jobs.c.state.in_(("failed", "cancelled", "lost"))
            unfinished = set(connection.execute(select(jobs.c.id).where(over)).scalars())
            found = select(versions.c.number).where(versions.c.model == place.name)
            known = set(connection.execute(found).scalars())
        for folder, job in made.items():
            if int(folder.name) not in known and job in unfinished:
                _remove(folder)


def prune(registry: Registry, name: str, number: int, who: str) -> None:
    """Remove the folder of a version; what is known of it, and its alerts, stay.

    Conflict for the version that serves, the one that rollback goes back to, and those whose rows
    either of the two learned from.
    """
    with registry.store.writing() as connection:
        row = model_to_change(connection, name)
        check_version(connection, name, number)
        among = select(versions.c.number, versions.c.facts).where(versions.c.model == name)
        facts: dict[int, Any] = {int(number): facts for number, facts in connection.execute(among)}
        needed = {row.current, row.previous}
        needed |= {facts[each].get("base") for each in needed if each is not None}
        if number in needed:
            raise Conflict(
                f"model {name!r}: version {number} serves, is the one that rollback goes back to, "
                "or has the rows that one of these learned from; promote another first"
            )
        own = versions.c.model == name, versions.c.number == number
        gone = facts[number] | {"removed": now().isoformat(timespec="seconds")}
        connection.execute(update(versions).where(*own).values(facts=gone))
        tell(connection, who, "prune", name, number, {})
    _remove(registry.folder(name, number))


def _job_of(folder: Path) -> int | None:
    """The number of the job that made a saved detector; None of others."""
    try:
        job = Manifest.read(folder / JSON).facts.get(JOB)
    except BundleError:
        return None
    return job if isinstance(job, int) else None


def _remove(folder: Path) -> None:
    """Remove a folder: its name is free at once, and what a kill leaves is hidden and swept."""
    aside = hidden(folder)
    try:
        os.rename(folder, aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True)
