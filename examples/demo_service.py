"""From zero to a reviewed alert: a detector behind an API, an alarm, an answer, a retrained version.

Readings of a pump, made up by decision.py; overheating is a kind that nobody has labelled. All stays
on this machine. At the end the service is up, with its address and a token, until Ctrl-C.

    python examples/demo_service.py [--once] [FOLDER]   (default: demo-service; --once ends by itself)
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unseen.service.client import Client

from decision import readings, without_what, write

OURS = "made by demo_service.py"  # in a folder that this may clear
BEGUN = time.monotonic()


def unseen(line: str) -> str:
    """What a command prints to standard output; the line is shown as you would type it."""
    print(f"\n$ unseen {line}", flush=True)
    made = subprocess.run(
        [sys.executable, "-m", "unseen", *line.split()],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return made.stdout


@contextmanager
def serving(line: str) -> Iterator[str]:
    """A service meanwhile: its address."""
    print(f"\n$ unseen {line} &", flush=True)
    command = [sys.executable, "-m", "unseen", *line.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for said in process.stdout:
            if said.startswith("serving on "):
                print(said, end="", flush=True)
                yield said.split()[-1]
                return
        sys.exit("the service did not start; the lines above say why")
    finally:
        process.terminate()
        process.wait()


def told(rows: list[Mapping[str, Any]], title: str) -> None:
    """Verdicts of some rows, and of alarms kind and first reason."""
    print(f"\n{title}")
    for row in rows:
        line = f"  row {row['row']}: {row['verdict']}, p {row['pvalue']:.2g}"
        if row["verdict"] == "anomaly":
            line += f", {row['kind']}: {row['reasons']['text']['reasons'].split(';')[0]}"
        print(line)


def demo(machine: Client, ann: Client, boss: Client) -> None:
    """Score, review, retrain, promote, and score again."""
    new = without_what(readings(1, normal=3))
    new += [row for row in readings(4, normal=600, overheating=30) if row.pop("what") != "normal"]
    rows, later = new[:18], new[18:]
    told(
        machine.score("pump", rows)[:6], "Three normal readings, and three of an overheating pump:"
    )
    before = machine.score("pump", later)

    print("\nAnn looks at each alert, and says what it is:")
    for alert in ann.alerts("pump"):
        ann.answer("pump", alert, "new", kind="overheating")
    print(f"  {len(ann.alerts('pump', state='answered'))} alerts answered: new kind 'overheating'")

    print("\nThe boss has it retrained, and lets the new version serve:")
    job = boss.wait(boss.retrain("pump"))
    print(f"  {job['state']}: version {job['version']}")
    boss.promote("pump", job["version"])
    after = machine.score("pump", later)
    compared(before, after)


def main(folder: Path, once: bool) -> None:
    train = readings(0, normal=1200, leak=40, jam=40)
    write("train.csv", train)
    unseen("fit train.csv --label what --drop time --out pump")
    roles = {"machine": "score", "ann": "review", "boss": "admin"}
    tokens = {
        name: unseen(f"token add {name} --role {role} --home home").strip()
        for name, role in roles.items()
    }
    with serving("serve pump --home home --port 0") as address:
        machine, ann, boss = (Client(address, token) for token in tokens.values())
        demo(machine, ann, boss)
