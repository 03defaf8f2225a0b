"""From zero to a reviewed alert: a detector behind an API, alarms, answers, a retrained version.

Readings of a pump, made up by decision.py. Overheating is a kind that nobody has labelled. All of it
stays on this machine. At a terminal the service is up at the end, with an address and a token to look
around with, until Ctrl-C.

    python examples/demo_service.py [--once] [FOLDER]   (default: demo-service; --once: ends by itself)
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from decision import readings, without_what, write

from unseen.service.client import Client, Judged

MARK = "made by examples/demo_service.py"  # a file of such a folder, which the next run may clear
BEGUN = time.monotonic()
PAUSE = 0.2  # seconds between two looks at a job
ROLES = {"machine": "score", "ann": "review", "boss": "admin"}


def unseen(line: str) -> str:
    """What a command prints, which is shown as you would type it."""
    print(f"\n$ unseen {line}", flush=True)
    command = [sys.executable, "-m", "unseen", *line.split()]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


@contextmanager
def served(line: str) -> Iterator[str]:
    """The address of a service, which runs meanwhile."""
    print(f"\n$ unseen {line}", flush=True)
    command = [sys.executable, "-m", "unseen", *line.split()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for said in process.stderr or ():
            print(said, end="", flush=True)
            if said.startswith("serving on "):
                yield said.split()[-1]
                break
        else:
            sys.exit("the service did not start: the lines above say why")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def told(rows: Sequence[Judged]) -> None:
    """What the service says of rows; of alarms kind and first reason."""
    for row in rows:
        why = f": {row.kind}; {row.reasons['text']['reasons'].split(';')[0]}" if row.reasons else ""
        print(f"  {row.verdict}, p {row.pvalue:.2g}{why}")


def reviewed(ann: Client) -> int:
    """Ann answers every alert that waits, and says how many there were. She knows a hot pump."""
    waiting = list(ann.alerts("pump"))
    for alert in waiting:
        hot = float(alert["values"]["temperature"]) > HOT(alert["values"])
        answer = ("new", "overheating") if hot else ("normal", None)
        ann.answer("pump", alert["id"], *answer, revision=alert["revision"])
    return len(waiting)
