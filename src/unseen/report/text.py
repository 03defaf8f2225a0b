"""What commands say when they are done: alarms, suspects, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from unseen.detector.policy import Policy
from unseen.evaluation.choices import lacking
from unseen.methods.catalogue import to_json
from unseen.methods.foreign import paths_in
from unseen.names import first_few
from unseen.storage.bundle import Bundle
from unseen.wording import option, words

NAMED = 4  # files that a command line to copy names, at most


class Tally(Protocol):
    """What became of judged rows: how many there are, how many alarms, the largest p-value of an
    alarm, the smallest of all, and how many alarms are of each kind, where that is told.
    """

    @property
    def rows(self) -> int: ...
    @property
    def flagged(self) -> int: ...
    @property
    def threshold(self) -> float: ...
    @property
    def smallest(self) -> float: ...
    @property
    def kinds(self) -> Mapping[str, int]: ...


def alarms(found: Tally, noun: str, policy: Policy, finest: float = 0.0) -> str:
    """How many were flagged, and how many false alarms that promises; `finest` is the smallest
    p-value there can be.
    """
    share, none = f"{100 * policy.level:.3g}%", f"0 of {found.rows:,} {noun} flagged"
    kinds = _kinds_line(found.kinds)
    if policy.kind == "cost":
        return _worth(found, noun, policy) + kinds
    if policy.needs_all and not found.flagged:
        return (
            f"{none}: no p-value is small enough for at most {share} of false alarms. Allow more "
            f"of them, flag by a level ({option('alpha', 0.01)}), or train on more normals, for "
            "smaller p-values."
        )
    if not policy.needs_all and policy.level < finest:
        return f"{none}: no p-value is as small as {policy.level:.3g}."
    if not policy.needs_all and not found.flagged:
        return f"{none} at p <= {policy.level:.3g}: the smallest p-value is {found.smallest:.3g}."
    flagged = f"{found.flagged:,} of {found.rows:,} {noun} flagged at p <= {found.threshold:.3g}."
    if policy.needs_all:
        return f"{flagged} Up to {share} of them are expected to be false alarms.{kinds}"
    daily = f", {policy.level * policy.traffic:.3g} a day" if policy.traffic else ""
    return f"{flagged} About {share} of normal {noun} are expected among them{daily}.{kinds}"


def _kinds_line(kinds: Mapping[str, int]) -> str:
    """A further line: how many alarms there are of each kind, most frequent first; empty where that
    is not told.

    >>> _kinds_line({"new kind": 2, "leak": 5})
    "\\nAlarms by kind: 'leak' (5), 'new kind' (2)."
    """
    if not kinds:
        return ""
    each = sorted(kinds.items(), key=lambda item: -item[1])
    return f"\nAlarms by kind: {first_few(f'{name!r} ({count:,})' for name, count in each)}."


def _worth(found: Tally, noun: str, policy: Policy) -> str:
    """How many alarms are worth their cost."""
    chance = f"a chance of {100 * (1 - policy.level):.3g}% or more to be an anomaly"
    if not found.flagged:
        return f"0 of {found.rows:,} {noun} flagged: none has {chance}, and other alarms cost more."
    return (
        f"{found.flagged:,} of {found.rows:,} {noun} flagged at p <= {found.threshold:.3g}: those "
        f"with {chance}.{_kinds_line(found.kinds)}"
    )


def suspects_line(table: Any, noun: str) -> str:
    """How many training rows were taken for normal, and how many of them are worth a look."""
    doubted = int((table["weight"].to_numpy() < 1).sum())
    look = (
        f"{doubted:,} {'has' if doubted == 1 else 'have'} a weight below 1: look at the first ones"
        if doubted
        else "none has a weight below 1"
    )
    return f"{len(table):,} {noun} were taken for normal; {look}"


def to_answer(bundle: Bundle, folder: Path, table: Any, target: Path) -> str:
    """What to do with rows that were written to be labelled."""
    likely = sum(why == "likely anomaly" for why in table["why"].to_pylist())
    noun = bundle.detector.schema_.noun
    lines = [
        f"{len(table):,} {noun} to label: {likely:,} likely anomalies, {len(table) - likely:,} "
        "unlike what is labelled.",
        f"written to {target}",
    ]
    line = command_line("learn", folder, target, "--data", "TRAIN", "--out", f"{folder}-2")
    name = str(bundle.detector.normal)
    lines.append(
        f"Fill in its column {table.column_names[0]!r}: {name!r}, or the kind of anomaly. Then:"
    )
    lines.append(f"  {line}")
    return "\n".join(lines)


def check_steps(count: int, folder: Path, train: Path, target: Path, normal: str) -> str:
    """What to do with the file of rows to check."""
    line = command_line("check", folder, train, "--answers", target, "--out", "DIR2")
    return (
        f"{count:,} rows to look at, written to {target}\n"
        f"Next: write {normal} or anomaly into its column 'answer', then\n  {line}"
    )


def checked_lines(before: Bundle, after: Bundle, rows: int, anomalies: int, noun: str) -> str:
    """What answers about calibration rows changed: rows that calibrate, and what p = 0.05 was."""
    m, kept = (
        sum(len(member.calibration) for member in each.detector.members_)
        for each in (before, after)
    )
    found = f"{anomalies:,} of {rows:,} {noun} that were checked are anomalies"
    if kept == m:
        return f"{found}: nothing is left out, and p-values stay as they are."
    highest = 0
    for old, new in zip(before.detector.members_, after.detector.members_, strict=True):
        assert old.held_out is not None  # else nothing was checked
        assert new.held_out is not None
        flagged = int(0.05 * (len(old.calibration) + 1))
        highest += int(np.isin(old.held_out[len(old.held_out) - flagged :], new.held_out).sum())
    return (
        f"{found}: {m - kept:,} of {m:,} that calibrated are left out.\n"
        f"p-values were too large, on the cautious side: p = 0.05 is now "
        f"p = {(highest + 1) / (kept + 1):.2g}."
    )


def next_steps(
    bundle: Bundle, folder: Path, train: Sequence[str], same: Mapping[str, object]
) -> str:
    """The command lines that follow a fit on what `train` names; where an evaluation would say
    nothing, what it needs.

    `same`: flags that change what is learned, by the names that `wording.words` takes.
    """
    facts, noun = bundle.facts, bundle.detector.schema_.noun
    bare = noun == "rows" and facts["label"] is None
    lacks = lacking(facts["anomalies"], facts["unlabelled"], noun)
    needs = (
        [f"a column that says what each row is ({option('label', ...)})"] if bare else []
    ) + list(lacks.values())
    blind = "find out how blind such a detector is to classes without labels"
    heat = ["--overlays", "pictures"] if bundle.detector.members_[0].peaks is not None else []
    extra = [*heat, *trust_words(bundle)]
    lines = [
        f"\nNext: score other {noun}{'' if needs else f'; {blind}'}.",
        f"  {command_line('score', folder, 'DATA', '--out', 'scores.csv', *extra)}",
    ]
    if needs:
        lines.append(f"To {blind}, evaluate needs {', and '.join(needs)}:")
    other = bare or "labels" in lacks  # another file, or this one with more labels
    names = [str(Path(name)) if "://" not in name else name for name in train]
    place = (
        ["LABELLED" if noun == "rows" else "FOLDER"]
        if other
        else ["TRAIN"]
        if "-" in names or len(names) > NAMED
        else names
    )
    options = [
        word
        for name, value in same.items()
        if value not in ((), None)
        for word in words(name, value)
    ]
    blank = words("label", ...) if bare else []
    test = ["--test", "TEST"] if lacks and not other else []
    return "\n".join([*lines, f"  {command_line('evaluate', *place, *blank, *options, *test)}"])


def trust_words(bundle: Bundle) -> list[str]:
    """The words by which a command lets a saved detector run methods of other packages, if it has
    any.
    """
    return words("trust", tuple(paths_in(to_json(bundle.detector.chosen(), to_read=True))))


def command_line(*parts: object) -> str:
    """A command line as it is typed."""
    return shlex.join(["unseen", *map(str, parts)])
