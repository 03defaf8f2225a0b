"""Scoring on a cluster of Ray: equal to one machine, whoever is killed; cost, memory, and a plan.

python -m bench cluster --part equal --method mahalanobis --rows 20000000 --columns 10
python -m bench cluster --part equal --rows 2000000 --columns 50
python -m bench cluster --part pair --method mahalanobis --rows 20000000 --columns 10
python -m bench cluster --part kills --method mahalanobis --rows 4000000 --columns 10
python -m bench cluster --part simulation

Each part prints a table; whole commands are measured, with all that they start.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as parquet

from bench.pages.text import show
from bench.runs.command import options
from bench.runs.machine import CLI, machine, now, versions
from bench.runs.thousand import simulated

TRAINING, LABELLED, KINDS = 5000, 30, ("normal", "a", "b", "c")
WORKING = ("ray::_on_worker", "ray::IDLE")  # what Ray calls workers
EVERY = 0.3  # seconds between looks at processes
MB = 1 << 20


def main() -> None:
    parser = options(__doc__)
    add = parser.add_argument
    add("--part", choices=("equal", "pair", "kills", "simulation"), required=True)
    add("--method", default="evidence-stack")
    add("--rows", type=int, default=2_000_000)
    add("--columns", type=int, default=50)
    add("--files", type=int, default=40)
    add("--policy", default="fdr 0.1")
    add("--workers", type=int, nargs="+", default=[1, 2])
    add("--repeat", type=int, default=2)
    add("--folder", type=Path, help="where the rows are written; a temporary one without")
    add("--cost", type=float, nargs="+", default=[1.0, 60.0], help="microseconds a row")
    chosen = parser.parse_args()
    chosen.policy = ["--" + chosen.policy.split()[0], chosen.policy.split()[1]]
    print(f"{machine()}; {versions()}; {now()}")
    if chosen.part == "simulation":
        simulated(chosen.cost)
        return
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        place = Path(name)
        prepare(place, chosen)
        {"equal": equal, "pair": pair, "kills": kills}[chosen.part](place, chosen)


def prepare(place: Path, chosen: argparse.Namespace) -> None:
    """A detector, and rows: in files, and in one file for one machine or two for two processes."""
    rows = drawn(0, TRAINING, chosen.columns)
    kinds = np.array(KINDS[:1] * TRAINING, dtype=object)
    for k in range(1, len(KINDS)):
        kinds[k :: TRAINING * (len(KINDS) - 1) // LABELLED] = KINDS[k]
    moved = np.asarray(rows["x0"]) + 6.0 * (kinds != "normal")
    rows = rows.set_column(1, "x0", pa.array(moved.astype(np.float32)))
    parquet.write_table(rows.append_column("kind", pa.array(kinds)), place / "training.parquet")
    words = ["--label", "kind", "--drop", "id", "--method", chosen.method]
    run([*CLI, "fit", str(place / "training.parquet"), *words, "--out", str(place / "m")])
    for folder in ("few", "rows"):
        (place / folder).mkdir()
    for k in range(max(chosen.workers)):  # a file for each worker to begin with
        parquet.write_table(drawn(k, 1000, chosen.columns), place / "few" / f"{k}.parquet")
    each = chosen.rows // chosen.files
    halves = 2 if chosen.part == "pair" else 1
    sinks: list[Any] = [None] * halves
    for k in range(chosen.files):
        part = drawn(k + 1, each, chosen.columns)
        parquet.write_table(part, place / "rows" / f"{k:03d}.parquet")
        half = k * halves // chosen.files
        sinks[half] = sinks[half] or parquet.ParquetWriter(place / f"{half}.parquet", part.schema)
        sinks[half].write_table(part)
    for sink in sinks:
        sink.close()


def drawn(seed: int, n: int, columns: int) -> pa.Table:
    """Rows of correlated numbers, one in 200 far out."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, columns), dtype=np.float32)
    x[:, 1:] += 0.5 * x[:, :1]
    x[rng.random(n) < 0.005, : columns // 2] += 4.0
    ids = np.arange(seed * n, (seed + 1) * n)
    return pa.table({"id": ids} | {f"x{j}": column for j, column in enumerate(x.T)})


Act = Callable[[subprocess.Popen[str]], bool]


class Watched:
    """A command with its seconds, and the processor seconds and megabytes of what it starts."""

    def __init__(
        self, words: list[str], act: Callable[[subprocess.Popen[str]], bool] = bool
    ) -> None:
        """`act` is asked at every look, until it has acted."""
        self.memory: dict[int, list[float]] = {}
        self.cpu: dict[int, float] = {}
        start, acted = time.perf_counter(), False
        with tempfile.TemporaryFile("w+") as printed:
            process = subprocess.Popen(words, stdout=printed, stderr=printed, text=True)
            self.pid = process.pid
            while process.poll() is None:
                self.look(process.pid)
                acted = acted or (act is not bool and act(process))
                time.sleep(EVERY)
            printed.seek(0)
            self.text = printed.read()
        self.seconds, self.status = time.perf_counter() - start, process.returncode

    def look(self, pid: int) -> None:
        for process in tree(pid):
            with suppress(psutil.Error):
                used, size = process.cpu_times(), process.memory_info().rss / MB
                self.cpu[process.pid] = used.user + used.system
                if process.name().startswith(WORKING):
                    self.memory.setdefault(process.pid, []).append(size)

    @property
    def spent(self) -> float:
        """Processor seconds."""
        return sum(self.cpu.values())

    @property
    def of_workers(self) -> float:
        """Those of workers alone."""
        return sum(self.cpu[pid] for pid in self.memory)

    def line(self, name: str, begun: "Watched", rows: int) -> list[str]:
        spent = 1e6 * self.spent / rows
        line = [name, f"{self.seconds:.1f}", f"{rows / self.seconds:,.0f}", f"{spent:.2f}"]
        return [*line, f"{begun.seconds:.1f}", f"{begun.spent:.1f}"]

    def grown(self) -> str:
        """Megabytes of each worker, at most: in the second quarter of its time, and in the last."""
        long = [each for each in self.memory.values() if len(each) > 8]
        quarters = [np.array_split(each, 4) for each in long]
        return "; ".join(f"{max(q[1]):,.0f} -> {max(q[3]):,.0f}" for q in quarters) or "-"


def tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    return []


def run(words: list[str], act: Act = bool) -> Watched:
    """A command that has to succeed."""
    found = Watched(words, act)
    if found.status:
        raise SystemExit(f"{' '.join(words)} failed:\n{found.text}")
    return found


def scoring(place: Path, data: str, out: str, policy: list[str], *more: str) -> list[str]:
    words = ["score", str(place / "m"), str(place / data), "--out", str(place / out)]
    return [*CLI, *words, "--keep", "id", *policy, *more]


def on_workers(
    place: Path, out: str, policy: list[str], workers: int, data: str = "rows"
) -> list[str]:
    return scoring(place, data, out, policy, "--engine", "ray", "--workers", str(workers))


def differing(one: list[Path], parts: Path) -> int:
    """Rows whose key, score, p-value or verdict is not that of one machine, to the last bit."""
    how = {"read_dictionary": ["verdict"]}
    here = parquet.read_table(parts, **how)
    there = pa.concat_tables([parquet.read_table(file, **how) for file in one])
    if here.schema != there.schema or len(here) != len(there):
        return max(len(here), len(there))
    found = np.zeros(len(here), dtype=bool)
    for name in here.column_names:
        pairs = zip(here[name].to_numpy(), there[name].to_numpy(), strict=True)
        if not here[name].equals(there[name]):
            found |= np.array([a != b for a, b in pairs])
    return int(found.sum())


def equal(place: Path, chosen: argparse.Namespace) -> None:
    """One machine, one worker, two workers; what each takes to begin is measured on few rows."""
    heads = ["", "seconds", "rows/s", "CPU µs a row", "seconds to begin", "CPU s to begin"]
    heads += ["CPU s of Ray itself", "CPU of a row, begun"]
    begun = run(scoring(place, "few/0.parquet", "few.parquet", chosen.policy))
    one = run(scoring(place, "0.parquet", "one.parquet", chosen.policy))
    lines = [[*one.line("one machine", begun, chosen.rows), "-", "-", "-", "-"]]
    for workers in chosen.workers:
        begins = run(on_workers(place, f"few{workers}", chosen.policy, workers, "few"))
        found = run(on_workers(place, f"out{workers}", chosen.policy, workers))
        odd = differing([place / "one.parquet"], place / f"out{workers}")
        beside = (found.of_workers - begins.of_workers) / (one.spent - begun.spent) - 1
        line = found.line(f"{workers} worker{'s' * (workers > 1)}", begins, chosen.rows)
        ray = found.spent - found.of_workers - found.cpu[found.pid]
        line += [f"{ray:.1f}", f"{100 * beside:+.0f}%", found.grown(), str(odd)]
        lines.append(line)
    show(title(chosen), [*heads, "MB of a worker, 2nd -> last quarter", "rows that differ"], lines)


def pair(place: Path, chosen: argparse.Namespace) -> None:
    """Two workers beside two processes that know nothing of each other, by turns."""
    seconds: dict[str, list[float]] = {"two processes": [], "two workers": []}
    cpu: dict[str, list[float]] = {name: [] for name in seconds}
    for turn in range(chosen.repeat):
        commands = [
            scoring(place, f"{k}.parquet", f"{turn}-{k}.parquet", chosen.policy) for k in (0, 1)
        ]
        start = time.perf_counter()
        with ThreadPoolExecutor(2) as both:
            found = list(both.map(run, commands))
        seconds["two processes"].append(time.perf_counter() - start)
        cpu["two processes"].append(sum(each.spent for each in found))
        spread = run(on_workers(place, f"out{turn}", chosen.policy, 2))
        seconds["two workers"].append(spread.seconds)
        cpu["two workers"].append(spread.spent)
    rates = {name: chosen.rows / np.array(each) for name, each in seconds.items()}
    ratio = rates["two workers"] / rates["two processes"]
    lines = [
        [
            name,
            f"{np.mean(seconds[name]):.1f}",
            f"{rates[name].mean():,.0f}",
            f"{1e6 * np.mean(cpu[name]) / chosen.rows:.2f}",
        ]
        for name in seconds
    ]
    shown = f"{ratio.mean():.2f} ({min(ratio):.2f}-{max(ratio):.2f})"
    lines.append(["workers beside processes", "", shown, ""])
    heads = ["", "seconds", "rows/s", "CPU µs a row"]
    show(f"{title(chosen)}, {chosen.repeat} turns", heads, lines)


def kills(place: Path, chosen: argparse.Namespace) -> None:
    """A worker is killed, and the driver, while the first half is judged, and the second told."""
    lines = []
    for policy, moments in ((["--alpha", "0.01"], (0.5,)), (["--fdr", "0.1"], (0.5, 1.5))):
        one = f"one{policy[0]}.parquet"
        run(scoring(place, "0.parquet", one, policy))
        for moment in moments:
            for victim in ("worker", "driver"):
                out = place / f"{victim}{policy[0]}{moment}"
                lines.append(struck(place, out, policy, victim, int(moment * chosen.files), one))
    heads = ["policy", "killed", "files before", "written again", "rows that differ", "whole"]
    show(title(chosen), heads, lines)


def struck(place: Path, out: Path, policy: list[str], victim: str, at: int, one: str) -> list[str]:
    """What becomes of a run whose worker or driver is killed when so many files are there."""
    words, before = on_workers(place, out.name, policy, 2), dict[Path, int]()

    def act(process: subprocess.Popen[str]) -> bool:
        if len(list(out.rglob("part-*.parquet"))) < at:
            return False
        busy = [p for p in tree(process.pid) if p.name().startswith(WORKING[0])]
        victims = [psutil.Process(process.pid)] if victim == "driver" else busy[:1]
        for each in victims:
            each.kill()
        before.update({file: file.stat().st_ino for file in out.rglob("part-*.parquet")})
        return bool(victims)

    found = Watched(words, act)
    assert before, "it ended before anything was killed"
    assert (found.status == 0) == (victim == "worker")
    if victim == "driver":
        assert not (out / "_SUCCESS").exists()
        time.sleep(5)  # its workers end
        run(words)
    own = [file for file in before if file.parent == out]
    again = sum(file.stat().st_ino != before[file] for file in own)
    odd = differing([place / one], out)
    counted = f"{len(own)} of {len(list(out.glob('part-*')))}, {len(before) - len(own)} judged"
    whole = "yes" if (out / "_SUCCESS").exists() and not list(out.glob("_[jm]*")) else "no"
    return [" ".join(policy)[2:], victim, counted, str(again), str(odd), whole]


def title(chosen: argparse.Namespace) -> str:
    size = f"{chosen.rows:,} x {chosen.columns} in {chosen.files} files"
    return f"{chosen.method}, {size}, {' '.join(chosen.policy)[2:]}"
