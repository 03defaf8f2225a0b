"""A plan for a thousand machines: what one machine measures of each piece, and a simulation of the
rest.
"""

import heapq
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from bench.pages.text import show

MACHINES, CORES = 1000, 16
CALIBRATION = 1000  # rows: p-values are their ranks
ROWS = 10**12
BEGIN = 10.0  # seconds until a worker has its libraries and its detector
NAPS = (0.02, 0.1)  # seconds of a task that only waits


def simulated(costs: list[float]) -> None:
    """Print what pieces cost, whether the simulation is right where it can be checked, and the
    plan.
    """
    driver = scheduled()
    pieces = {
        "a task, for the driver": driver,
        "the end of a Parquet file": ends(),
        f"merging {CALIBRATION + 1:,} distinct p-values": merged(),
    }
    lines = [[name, f"{1e3 * seconds:.2f}"] for name, seconds in pieces.items()]
    show("What the driver does for each file", ["", "milliseconds"], lines)
    print()
    lines = []
    for workers in (4, 16):
        for nap in NAPS:
            tasks = int(400 * 0.1 / nap) if workers > 4 else 100
            real, model = slept(workers, tasks, nap), span(workers, [nap] * tasks, driver)
            lines.append([f"{workers} workers, {tasks} of {nap} s", f"{real:.1f}", f"{model:.1f}"])
    show("Tasks that only wait: measured and simulated", ["", "s", "simulated s"], lines)
    print()
    each, lines = driver + pieces[f"merging {CALIBRATION + 1:,} distinct p-values"], []
    for cost in costs:
        for rows in (100_000, 1_000_000, 10_000_000):
            lines.append(planned(cost, rows, each))
    heads = [
        "µs a row",
        "rows a file",
        "files",
        "a file, s",
        "minutes",
        "cores busy",
        "driver busy",
    ]
    show(f"{ROWS:,} rows on {MACHINES:,} machines of {CORES} cores, simulated", heads, lines)


def scheduled(tasks: int = 5000, ahead: int = 2000) -> float:
    """Seconds that the driver needs for a task that does nothing, of many that wait, sent and taken
    in as those of scoring are.
    """
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    work = [ray.put(Counter())]
    nothing = ray.remote(num_cpus=1, max_retries=3)(lambda sent, item: item)
    ray.get([nothing.remote(work, k) for k in range(20)])
    start, left, running = time.perf_counter(), iter(range(tasks)), list[Any]()
    used = time.process_time()
    while True:
        running += [nothing.remote(work, k) for k in islice(left, ahead - len(running))]
        if not running:
            break
        ray.wait(running, num_returns=1)
        ready, running = ray.wait(running, num_returns=len(running), timeout=0)
        ray.get(ready)
    wall, used = time.perf_counter() - start, time.process_time() - used
    ray.shutdown()
    print(f"{tasks:,} tasks: {tasks / wall:,.0f} a second on 2 workers; driver {used:.2f} CPU s\n")
    return used / tasks


def slept(workers: int, tasks: int, nap: float) -> float:
    """Seconds that so many tasks take that only wait."""
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    rest = ray.remote(num_cpus=1)(lambda: time.sleep(nap))
    ray.get([rest.remote() for _ in range(4 * workers)])  # workers have started
    start = time.perf_counter()
    ray.get([rest.remote() for _ in range(tasks)])
    found = time.perf_counter() - start
    ray.shutdown()
    return found


def ends(files: int = 50) -> float:
    """Seconds to read what stands at the end of a Parquet file of 40 columns, on this disk."""
    with TemporaryDirectory() as name:
        file = Path(name) / "rows.parquet"
        columns = {f"x{j}": np.zeros(1000, dtype=np.float32) for j in range(40)}
        parquet.write_table(pa.table(columns), file, row_group_size=100)
        start = time.perf_counter()
        for _ in range(files):
            parquet.read_metadata(file)
        return (time.perf_counter() - start) / files


def merged(files: int = 200) -> float:
    """Seconds to add the counts of a file's p-values to those of all."""
    counts = Counter({(k + 1) / (CALIBRATION + 1): k for k in range(CALIBRATION + 1)})
    start, total = time.perf_counter(), Counter[float]()
    for _ in range(files):
        total.update(counts)
    return (time.perf_counter() - start) / files


def span(workers: int, durations: Any, driver: float, begin: float = 0.0) -> float:
    """Seconds until all tasks are done, of workers that begin after a while: the driver sends one
    after another, ahead of who is free, and takes in what came of each.
    """
    free, clock, last = [begin] * workers, 0.0, 0.0
    for duration in durations:
        clock += driver
        end = max(free[0], clock) + duration
        heapq.heapreplace(free, end)
        last = max(last, end)
    return last


def planned(cost: float, rows: int, driver: float) -> list[str]:
    """A line of the plan. A file takes its cost, and a quarter more or less by chance; one in a
    thousand is done twice, as its machine is lost.
    """
    files, mean, rng = ROWS // rows, 1e-6 * cost * rows, np.random.default_rng(0)
    durations = mean * rng.lognormal(-0.03, 0.25, files) * (1 + (rng.random(files) < 0.001))
    took = span(MACHINES * CORES, durations.tolist(), driver, BEGIN)
    ideal = float(durations.sum()) / (MACHINES * CORES)
    shares = [f"{100 * seconds / took:.0f}%" for seconds in (ideal, files * driver)]
    return [f"{cost:g}", f"{rows:,}", f"{files:,}", f"{mean:.1f}", f"{took / 60:.1f}", *shares]
