"""What a run over many files is to do: its partitions, and what it is asked, written down where it
writes, so that a run that was interrupted goes on only as what it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as parquet

from unseen._version import __version__
from unseen.detector.policy import Policy
from unseen.errors import DataError
from unseen.io.head import column_names
from unseen.io.places import Place, files_of_rows
from unseen.io.text import PARQUET
from unseen.io.write import plain_type
from unseen.names import require
from unseen.quiet import quiet
from unseen.scoring.tables import TableSource
from unseen.storage.manifest import parsed

PLAN, SUCCESS, JUDGED = "_plan.json", "_SUCCESS", "_judged"
FORMAT = 1  # of the plan
_MOST = 1 << 28  # bytes of a plan: those of a million partitions
_AT_ONCE = 32  # files whose ends are read at a time: an object store answers many at once
_GOES_ON = (
    "a run goes on only with what it began with: put that back, or choose another folder for this "
    "one"
)


@dataclass(frozen=True)
class Partition:
    """A file of rows, which becomes a file of scores.

    Parameters
    ----------
    number : int
        Its place among all, from 0.
    place : Place
        Where it is.
    size : int
        Bytes.
    written : int
        When it was written, in nanoseconds.
    rows : int or None
        How many rows it has; None where only reading all of it would tell.
    """

    number: int
    place: Place
    size: int
    written: int
    rows: int | None

    @property
    def name(self) -> str:
        """The name of its scores."""
        return f"part-{self.number:05d}.parquet"

    def check_unchanged(self) -> None:
        """DataError unless it is what it was when the run began."""
        info = self.place.info()
        if (info.size, info.mtime_ns or 0) != (self.size, self.written):
            raise DataError(
                f"{self.place.name}: has changed since the run began, or is not the same file on "
                "all machines: a cluster reads a folder that they share, or an object store; "
                f"{_GOES_ON}"
            )


@dataclass(frozen=True)
class Asked:
    """What is asked of each partition.

    Parameters
    ----------
    rows : TableSource
        How rows are read, wherever they are.
    policy : Policy
        Which p-values are alarms.
    kinds : bool
        Whether kinds of alarms are told.
    reasons : int
        How many columns are named of each alarm.
    tail : bool
        Whether a model gives p-values below those of the calibration rows.
    header : bool
        Whether the first line of a CSV file names the columns.
    """

    rows: TableSource
    policy: Policy
    kinds: bool = False
    reasons: int = 0
    tail: bool = False
    header: bool = True

    def facts(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "policy": f"{self.policy.kind} {self.policy.level!r}",
            "columns kept": list(self.rows.keep),
            "by group": self.rows.by_group,
            "header": self.header,
            "kinds": self.kinds,
            "reasons": self.reasons,
            "tail": self.tail,
        }


@dataclass(frozen=True)
class Plan:
    """What a run is to do.

    Parameters
    ----------
    detector : str
        The hash of the saved detector.
    asked : Asked
        What is asked of each partition.
    partitions : tuple of Partition
        The files, in their order.
    """

    detector: str
    asked: Asked
    partitions: tuple[Partition, ...]

    @classmethod
    def of(cls, detector: str, asked: Asked, data: Sequence[str], out: Place) -> Self:
        """The plan for files, globs and folders, before rows are counted."""
        files = files_of_rows(data, beside=out)
        each = [Partition(k, f.place, f.size, f.written, None) for k, f in enumerate(files)]
        return cls(detector, asked, tuple(each))

    @property
    def in_two_passes(self) -> bool:
        """Whether verdicts wait until all is judged: for a policy that needs all p-values, and for
        row numbers behind files of which only reading tells how many rows they have.
        """
        counted = all(each.rows is not None for each in self.partitions[:-1])
        return self.asked.policy.needs_all or not (self.asked.rows.keep or counted)

    def agreed(self, out: Place, needed: Iterable[str]) -> Self:
        """The plan as the folder has it, where a run with the same plan was begun; else it is
        written there, once it is known that all files have the columns that are needed.
        """
        if out.names() and (out / PLAN).info().size:
            return self._compared(out)
        if set(out.names()) - {PLAN}:
            raise DataError(
                f"{out.name}: exists already and is left as it is; choose another name or remove it"
            )
        plan = self._counted(tuple(needed))
        out.write(PLAN, json.dumps(plan._plain(), indent=0).encode())
        return plan

    def _counted(self, needed: tuple[str, ...]) -> Self:
        """With the numbers of rows; DataError for files that differ in what is needed."""
        rows = self.asked.rows
        wanted = [*rows.keep, *([rows.group] if rows.by_group and rows.group else []), *needed]
        with ThreadPoolExecutor(_AT_ONCE) as several:
            places = [each.place for each in self.partitions]
            ends = list(several.map(lambda place: _end(place, wanted, rows.keep), places))
        first = ends[0][1]
        for place, (_, types) in zip(places, ends, strict=True):
            for name in rows.keep:
                if types[name] != first[name]:
                    raise DataError(
                        f"{place.name}: column {name!r} is {types[name]}, and in "
                        f"{places[0].name} it is {first[name]}: the scores of all files make one "
                        "table, so write the files alike, or do not keep that column"
                    )
        parts = [
            replace(part, rows=count)
            for part, (count, _) in zip(self.partitions, ends, strict=True)
        ]
        return replace(self, partitions=tuple(parts))

    def _plain(self) -> dict[str, Any]:
        inputs = [
            {"name": p.place.name, "size": p.size, "written": p.written, "rows": p.rows}
            for p in self.partitions
        ]
        return {
            "format": FORMAT,
            "unseen": __version__,
            "detector": self.detector,
            **self.asked.facts(),
            "inputs": inputs,
        }

    def _compared(self, out: Place) -> Self:
        """With the numbers of rows of the plan in the folder; DataError where it is another one."""
        stored, mine = _read_plan(out), self._plain()
        for name in mine.keys() - {"inputs"}:
            if stored.get(name) != mine[name]:
                raise _other(out, f"{name}: {stored.get(name)}, now {mine[name]}")
        there = {each["name"]: each for each in stored["inputs"]}
        for each in mine["inputs"]:
            old = there.pop(each["name"], None)
            if old is None:
                raise _other(out, f"{each['name']} is new")
            if (old["size"], old["written"]) != (each["size"], each["written"]):
                raise _other(
                    out,
                    f"{each['name']} has changed: {_stamp(old)}, now {_stamp(each)}",
                )
        if there:
            raise _other(out, f"{next(iter(there))} is missing")
        if [each["name"] for each in stored["inputs"]] != [e["name"] for e in mine["inputs"]]:
            raise _other(out, "the files have another order")
        parts = [
            replace(part, rows=each["rows"])
            for part, each in zip(self.partitions, stored["inputs"], strict=True)
        ]
        return replace(self, partitions=tuple(parts))


def _read_plan(out: Place) -> dict[str, Any]:
    """The plan in a folder, its inputs complete."""
    try:
        plain = parsed((out / PLAN).read(most=_MOST))
        for each in plain["inputs"]:
            numbers = (each["size"], each["written"], 0 if each["rows"] is None else each["rows"])
            if not (isinstance(each["name"], str) and all(type(n) is int for n in numbers)):
                raise TypeError(f"{each!r:.80}")
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{out.name}: expected the plan of a run in {PLAN}, found something else ({error}); "
            "choose another folder"
        ) from error
    return dict(plain)


def _stamp(entry: Mapping[str, Any]) -> str:
    return f"{entry['size']:,} bytes, written at {entry['written'] / 1e9:.3f} s"


def _other(out: Place, what: str) -> DataError:
    return DataError(f"{out.name}: was begun otherwise ({what}); {_GOES_ON}")


def _end(
    place: Place, wanted: Sequence[str], keep: Sequence[str]
) -> tuple[int | None, dict[str, str]]:
    """How many rows a file has, and the types of the columns that are kept, by what stands at its
    end; text files tell neither, and all their columns are text.
    """
    if not place.name.partition("?")[0].lower().endswith(PARQUET):
        return None, dict.fromkeys(keep, str(pa.string()))
    try:
        with (
            place.system.open_input_file(place.path) as file,
            parquet.ParquetFile(file) as source,
            quiet(),  # names that are numbered are told when rows are read
        ):
            schema, rows = source.schema_arrow, int(source.metadata.num_rows)
            names = column_names(schema.names, Path(place.path))
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{place.name}: expected a Parquet file, but it cannot be read as one ({error}); write "
            "or copy it anew"
        ) from error
    require(wanted, names, where=place.name)
    types = dict(zip(names, schema.types, strict=True))
    return rows, {name: str(plain_type(types[name])) for name in keep}
