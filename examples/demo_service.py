"""From zero to a reviewed alert: a detector behind an API, alarms, answers, a retrained version.

Readings of a pump, made up by decision.py. Overheating is a kind that nobody has labelled. All of
it stays on this machine. At a terminal the service is up at the end, with an address and a token to
look around with, until Ctrl-C.

    python examples/demo_service.py [--once] [FOLDER]

The folder is demo-service by default; with --once it ends by itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from decision import readings, without_what, write
from unseen.service.client import Client, Judged

MARK = ".made-by-demo-service"  # in a folder that the next run may clear
BEGUN = time.monotonic()
COOLER = 4.0  # degrees that overheating here is behind that of decision.py
PAUSE = 0.2  # seconds between two looks at a job
KNOWN = ("leak", "jam")  # kinds that training knew
ROLES = {"machine": "score", "ann": "review", "boss": "admin"}


def unseen(line: str) -> str:
    """What a command prints, which is shown as you would type it."""
    print(f"\n$ unseen {line}", flush=True)
    command = [sys.executable, "-m", "unseen", *line.split()]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


@contextmanager
def served(line: str) -> Iterator[str]:
    """The address of a service, which runs meanwhile; it tells of each request in service.log."""
    print(f"\n$ unseen {line} 2> service.log", flush=True)
    command = [sys.executable, "-m", "unseen", *line.split()]
    with Path("service.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        for said in process.stdout or ():
            print(said, end="", flush=True)
            if said.startswith("serving on "):
                yield said.split()[-1]
                break
        else:
            sys.exit(f"the service did not start:\n{Path('service.log').read_text()}")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def day(seed: int, **kinds: int) -> tuple[list[dict[str, object]], dict[str, str]]:
    """Readings of a day without labels, and the truth of each by its time. Overheating begins."""
    rows = readings(seed, **kinds)
    for row in rows:
        if row["what"] == "overheating":
            row["temperature"] = round(float(str(row["temperature"])) - COOLER, 2)
    return without_what(rows), {str(row["time"]): str(row["what"]) for row in rows}


def told(row: Judged) -> str:
    """What the service says of a row; of an alarm kind and first reason."""
    text = f"{row.verdict}, p {row.pvalue:.2g}"
    if row.reasons:
        text += f", {row.kind}: {row.reasons['text']['reasons'].split(';')[0]}"
    return text


def reviewed(ann: Client, truth: dict[str, str]) -> Counter[str]:
    """Ann goes and looks at each alarm that waits, and answers it."""
    said = Counter[str]()
    for alert in list(ann.alerts("pump")):
        kind = truth[alert["key"]]
        answer = "normal" if kind == "normal" else "known" if said[kind] or kind in KNOWN else "new"
        named = None if kind == "normal" else kind
        ann.answer("pump", alert["id"], answer, named, revision=alert["revision"])
        said[kind] += 1
    return said


def retrained(boss: Client) -> int:
    """The number of the version that learned the answers, which serves from now on."""
    job = boss.retrain("pump")
    while job["state"] in ("waiting", "running"):
        time.sleep(PAUSE)
        job = boss.job(job["job"])
    if job["state"] != "done":
        sys.exit(f"the job {job['state']}: {job['message']}")
    boss.promote("pump", job["version"])
    return int(job["version"])


def walk(machine: Client, ann: Client, boss: Client) -> None:
    """Score, review, retrain, and score again."""
    today, truth = day(1, normal=485, overheating=15)
    later, later_truth = day(4, normal=480, overheating=20)
    found = machine.score("pump", today, key="time")
    hot = [row for row in found if truth[str(row.key)] == "overheating"]
    print(f"\n{len(found)} readings, {sum(row.is_alarm for row in found)} alarms. Two rows:")
    for name, row in (("first", found[0]), ("hottest", max(hot, key=lambda row: row.score or 0))):
        print(f"  {name:7} {told(row)}")
    said = reviewed(ann, truth)
    print(f"\nFrom nothing to the last reviewed alert: {time.monotonic() - BEGUN:.0f} seconds.")
    print("Ann said: " + ", ".join(f"{count} {kind}" for kind, count in sorted(said.items())) + ".")

    before = machine.score("pump", later, key="time")
    number = retrained(boss)
    after = machine.score("pump", later, key="time")
    print(f"\nVersion {number} learned her answers and serves. Tomorrow, before and now:")
    for kind in ("overheating", "normal"):
        here = [k for k, row in enumerate(before) if later_truth[str(row.key)] == kind]
        was, now = (sum(rows[k].is_alarm for k in here) for rows in (before, after))
        print(f"  {kind:12}{was:3} and {now:3} alarms of {len(here)}")
    one = max(range(len(later)), key=lambda k: (before[k].pvalue or 0) / (after[k].pvalue or 1))
    print(f"The p-value that fell most is one of {later_truth[str(before[one].key)]}:")
    print(f"  before  {told(before[one])}\n  now     {told(after[one])}")


def cleared(folder: Path) -> None:
    """The folder, new, or without what an earlier run of this left."""
    if folder.exists() and not (folder / MARK).exists():
        sys.exit(f"{folder}: it was not made by this demo; name another folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


def main(folder: Path, once: bool) -> None:
    cleared(folder)
    os.chdir(folder)
    write("train.csv", readings(100, normal=1200, leak=40, jam=40))
    unseen("fit train.csv --label what --drop time --out pump")
    line = "token add {} --role {} --home home"
    tokens = {name: unseen(line.format(name, role)).strip() for name, role in ROLES.items()}
    with served("serve pump --home home --port 0") as address, ExitStack() as stack:
        walk(*(stack.enter_context(Client(address, token)) for token in tokens.values()))
        print(f"\nThe page for reviews: {address}/review")
        print(f"Your token, of role admin: {tokens['boss']}", flush=True)
        if not once:
            print("Ctrl-C ends the service.", flush=True)
            with suppress(KeyboardInterrupt):
                signal.pause()


if __name__ == "__main__":
    words = sys.argv[1:]
    once = "--once" in words or not sys.stdin.isatty()
    names = [word for word in words if word != "--once"]
    main(Path(*names or ["demo-service"]), once)
