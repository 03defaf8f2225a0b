"""From a table to a decision: every step of a detector's life, on readings of a pump that are made
up, so that the truth is known.

Leaks and jams are labelled. Overheating is not: it first occurs in today.csv. In June and July the
pump stands in warmer air. Writes a folder: tables, detectors, what the commands write.

    python examples/decision.py [FOLDER]   (default: pump, which must not be there yet)
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
from pathlib import Path

import numpy as np

from unseen.cli.main import main as command


def readings(seed: int, warmer: float = 0.0, **kinds: int) -> list[dict[str, object]]:
    """Rows in the order of time, so many of each kind; temperatures are `warmer` by so many
    degrees.
    """
    rng = np.random.default_rng(seed)
    what = rng.permutation([kind for kind, count in kinds.items() for _ in range(count)])
    rows = []
    for time, kind in enumerate(what.tolist(), start=1):
        load, half = rng.uniform(0.4, 1.0), rng.uniform() < 0.3
        row = {
            "flow": 100 * load * (0.6 if half else 1.0) - 12 * (kind == "leak"),
            "pressure": 8 - 3 * load + 1.5 * half - 0.6 * (kind == "leak"),
            "current": 5 + 12 * load + 2.5 * (kind == "jam"),
            "temperature": 35 + 20 * load + warmer + 8 * (kind == "overheating"),
            "vibration": 1 + load / 2 + 0.5 * (kind == "jam"),
        }
        spread = {"flow": 1.5, "pressure": 0.1, "current": 0.3, "temperature": 1, "vibration": 0.1}
        row = {name: round(value + rng.normal(0, spread[name]), 2) for name, value in row.items()}
        rows.append({"time": time, "valve": "half" if half else "open", **row, "what": kind})
    return rows


def write(name: str, rows: list[dict[str, object]]) -> None:
    with Path(name).open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(rows)


def read(name: str) -> list[dict[str, str]]:
    with Path(name).open(newline="") as file:
        return list(csv.DictReader(file))


def unseen(line: str, *, shown: str = "", most: int = 9, status: int = 0) -> None:
    """A command line as you would type it, and of what it prints as many lines as `most`, from the
    one that begins with `shown` on.
    """
    print(f"\n$ unseen {line}")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        found = command(line.split())
    if found != status:
        sys.exit(f"expected exit status {status}, found {found}")
    lines = [each.rstrip() for each in printed.getvalue().splitlines()]
    first = next(k for k, each in enumerate(lines) if each.startswith(shown))
    print("\n".join(lines[first : first + most]), flush=True)


def answer(name: str, column: str, number: str, truth: list[str], anomaly: str | None) -> None:
    """Fill in a file as somebody would who goes and looks: the truth, or the word for anomalies."""
    rows = read(name)
    for row in rows:
        kind = truth[int(row[number]) - 1]
        row[column] = kind if kind == "normal" or anomaly is None else anomaly
    write(name, rows)


def without_what(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name != "what"} for row in rows]


def main() -> None:
    train = readings(0, normal=1200, leak=40, jam=40)
    now = readings(1, normal=960, leak=15, jam=15, overheating=10)
    june, july = (readings(seed, warmer=4.0, normal=990, leak=10) for seed in (2, 3))
    in_training, in_now = ([str(row["what"]) for row in rows] for rows in (train, now))
    for row in [row for row in train if row["what"] == "leak"][:10]:
        row["what"] = "normal"  # nobody noticed
    write("train.csv", train)
    write("today.csv", without_what(now))
    write("june.csv", without_what(june))
    write("july.csv", without_what(july))

    unseen("fit train.csv --label what --drop time --out m", shown="rows  ", most=2)
    unseen("evaluate train.csv --label what --drop time --seeds 1", shown="How blind", most=3)
    unseen("blindspots m", shown="Of a kind", most=2)
    unseen("check m train.csv -n 20 --out look.csv", most=1)
    answer("look.csv", "answer", "training_row", in_training, "anomaly")
    unseen("check m train.csv --answers look.csv --out m2", most=2)
    policy = "--per-day 20 --traffic 1000"
    unseen(f"score m2 today.csv {policy} --kinds --reasons 2 --keep time --out alarms.csv", most=2)
    alarms = [row for row in read("alarms.csv") if row["verdict"] == "anomaly"]
    new = [row for row in alarms if in_now[int(row["time"]) - 1] == "overheating"]
    print(f"\n{len(new)} of 10 rows of overheating alarm; the first:")
    for name in ("time", "kind", "reasons", "change"):
        print(f"  {name:<8}{new[0][name]}")
    unseen("advise m2 today.csv -n 20 --keep time --out rows.csv", most=1)
    answer("rows.csv", "what", "time", in_now, None)
    unseen("learn m2 rows.csv --data train.csv --out m3", shown="Answers", most=1)
    unseen("drift m3 june.csv", status=3)
    unseen("recalibrate m3 june.csv --anomalies 0.02 --out m4", most=1)
    unseen("drift m4 july.csv")
    unseen("report m4 --data july.csv --keep time --out report.html")


if __name__ == "__main__":
    folder = Path(*sys.argv[1:] or ["pump"])
    folder.mkdir()
    os.chdir(folder)
    main()
