"""The service under load on loopback: latency, rows a second beside the library, shedding, memory.

python -m bench load                  # about 13 minutes on 2 cores, which the load shares
python -m bench load --minutes 1

The server is `unseen serve` in a process of its own with the default method, 120 columns and its
default limits; the load comes from this process.
"""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil

from unseen import Bundle, Detector, Policy
from unseen.scoring.rows import FileRows, FrameRows
from unseen.scoring.stream import score
from unseen.scoring.tables import TableSource

COLUMNS, RATE, BATCH = 120, 20, 1000
PATH = "/v1/models/flows/score"
TYPES = {"json": "application/json", "jsonl": "application/jsonl", "csv": "text/csv"}
TYPES["parquet"] = "application/vnd.apache.parquet"
FAR = 200  # of so many single rows one lies far out


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of single rows")
    parser.add_argument("--seconds", type=float, default=30.0, help="of overload, and of a mixture")
    chosen = parser.parse_args()
    with TemporaryDirectory(prefix="load-") as folder:
        detector = saved(Path(folder) / "flows")
        with server(Path(folder)) as (url, token, process):
            print(f"one server, {COLUMNS} columns, default method and policy, 1 process of load")
            batches(url, token, detector, Path(folder))
            asyncio.run(steady(url, token, process, chosen.minutes * 60, every=None))
            asyncio.run(steady(url, token, process, chosen.seconds, every=5.0))
            asyncio.run(over(url, token, process, chosen.seconds))


def frame(n: int, seed: int) -> pd.DataFrame:
    """Rows like those of training."""
    values = np.random.default_rng(seed).normal(size=(n, COLUMNS))
    return pd.DataFrame(values, columns=[f"c{k}" for k in range(COLUMNS)])


def saved(folder: Path) -> Detector:
    """The default method on 5,000 normal rows and 40 of two kinds of anomalies."""
    rows, labels = frame(5040, 0), np.array(["normal"] * 5040, dtype=object)
    rows.iloc[5000:5020] += 2.5
    rows.iloc[5020:, :5] += 8.0
    labels[5000:5020], labels[5020:] = "flood", "scan"
    detector = Detector(random_state=0).fit(rows, labels)
    Bundle(detector, {"source": "flows"}).save(folder)
    return detector


@contextmanager
def server(folder: Path) -> Any:
    """Address, token and process of a server."""
    line = [sys.executable, "-m", "unseen", "serve", str(folder / "flows"), "--port", "0"]
    with (folder / "log").open("w") as log:
        ran = subprocess.Popen(
            [*line, "--home", str(folder / "home")], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert ran.stdout is not None
        try:
            told = ""
            while "serving on" not in told:
                line_ = ran.stdout.readline()
                assert line_, (folder / "log").read_text()
                told += line_
            token = re.search(r"unseen_[\w-]+", told)
            url = re.search(r"http://\S+", told)
            assert token is not None
            assert url is not None
            yield url[0], token[0], psutil.Process(ran.pid)
        finally:
            ran.send_signal(signal.SIGTERM)
            print(f"stopped by SIGTERM, exit status {ran.wait(60)}")


def resident(process: psutil.Process) -> float:
    """MiB of the server, its children included."""
    every = [process, *process.children(recursive=True)]
    return float(sum(each.memory_info().rss for each in every) / 2**20)


def batches(url: str, token: str, detector: Detector, folder: Path) -> None:
    """Rows a second of each type of body, beside the library on the same rows, by turns."""
    rows = frame(BATCH, 1)
    bodies = {
        "json": b'{"rows": ' + rows.to_json(orient="records").encode() + b"}",
        "jsonl": rows.to_json(orient="records", lines=True).encode(),
        "csv": rows.to_csv(index=False).encode(),
        "parquet": rows.to_parquet(),
    }
    headers = {"Authorization": f"Bearer {token}"}
    print(f"\nbatches of {BATCH:,} rows, one at a time: rows a second, medians of 15 by turns")
    print("body      reasons  service  library, same file and reasons  ratio  detect(frame)")
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        for name, body in bodies.items():
            (folder / f"rows.{name}").write_bytes(body)
            for reasons in (0, 3):
                took = by_turns(
                    lambda: sent(client, body, name, reasons),  # noqa: B023
                    lambda: alone(detector, folder / f"rows.{name}", reasons),  # noqa: B023
                    lambda: detector.detect(rows, alpha=0.01),
                )
                each = [BATCH / seconds for seconds in took]
                line = f"{name:9} {reasons:7} {each[0]:8,.0f} {each[1]:31,.0f}"
                print(f"{line} {each[0] / each[1]:6.2f} {each[2]:14,.0f}")


def sent(client: httpx.Client, body: bytes, name: str, reasons: int) -> None:
    answer = client.post(
        PATH, params={"reasons": reasons}, content=body, headers={"Content-Type": TYPES[name]}
    )
    assert len(answer.json()["rows"]) == BATCH, answer.text[:300]


def alone(detector: Detector, file: Path, reasons: int) -> None:
    """The library on the same bytes."""
    whole = file.suffix == ".json"
    place = FrameRows(json.loads(file.read_bytes())["rows"]) if whole else FileRows(file)
    how: dict[str, Any] = {"kinds": True, "reasons": reasons, "alarms": True}
    with closing(score(TableSource(place), detector, Policy.alpha(0.01), **how)) as blocks:
        assert sum(len(block) for block in blocks) == BATCH


def by_turns(*what: Any, times: int = 15) -> list[float]:
    """Median seconds of each, after one that does not count."""
    took = np.zeros((times + 1, len(what)))
    for row in took:
        for k, each in enumerate(what):
            start = time.perf_counter()
            each()
            row[k] = time.perf_counter() - start
    return [float(each) for each in np.median(took[1:], axis=0)]


async def steady(
    url: str, token: str, process: psutil.Process, seconds: float, every: float | None
) -> None:
    """Single rows at a fixed rate, whether or not those before were answered; with a batch beside
    them every so many seconds, or none.
    """
    rows = frame(2000, 2).to_dict("records")
    for k in range(0, len(rows), FAR):
        rows[k] |= {"c3": 40.0}
    batch = frame(BATCH, 3).to_parquet()
    found, status, memory = list[tuple[float, bool]](), Counter[int](), [resident(process)]
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:

        async def one(k: int, due: float) -> None:
            answer = await client.post(PATH, json={"rows": [rows[k % len(rows)]]})
            status[answer.status_code] += 1
            alarm = answer.is_success and "alert" in answer.json()["rows"][0]
            found.append((time.perf_counter() - due, alarm))

        async def many() -> None:
            answer = await client.post(
                PATH, content=batch, headers={"Content-Type": TYPES["parquet"]}
            )
            status[answer.status_code] += 1

        start, tasks, spent = time.perf_counter(), list[asyncio.Task[None]](), used(process)
        for k in range(int(seconds * RATE)):
            due = start + k / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(k, due)))
            if every is not None and k % int(every * RATE) == 0:
                tasks.append(asyncio.create_task(many()))
            if k % (RATE * 30) == RATE * 30 - 1:
                memory.append(resident(process))
        await asyncio.gather(*tasks)
    beside = (
        "" if every is None else f", a batch of {BATCH:,} rows every {every:g} seconds beside them"
    )
    print(f"\nsingle rows at {RATE} a second for {seconds / 60:g} minutes{beside}")
    print(f"answers {dict(status)}, of them {sum(alarm for _, alarm in found):,} alarms")
    for what, chosen in (("all", (True, False)), ("normal", (False,)), ("alarms", (True,))):
        ms = 1000 * np.array([took for took, alarm in found if alarm in chosen])
        shown = np.percentile(ms, [50, 95, 99]) if len(ms) else [np.nan] * 3
        print(f"  {what:7} p50 {shown[0]:6.1f}  p95 {shown[1]:6.1f}  p99 {shown[2]:6.1f} ms")
    cost = 1000 * (used(process) - spent) / len(found)
    print(f"  {cost:.1f} ms of a core for each single row, what works beside them included")
    print_memory(memory)


def used(process: psutil.Process) -> float:
    """Seconds of a core that a process took."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def over(url: str, token: str, process: psutil.Process, seconds: float) -> None:
    """Far more than it can take: batches on 64 connections, each sent again at once."""
    body = frame(BATCH, 4).to_csv(index=False).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": TYPES["csv"]}
    status, memory, alive = Counter[int](), [resident(process)], list[float]()
    limits = httpx.Limits(max_connections=80, max_keepalive_connections=80)
    ends = time.perf_counter() + seconds
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=60, limits=limits
    ) as client:

        async def push() -> None:
            while time.perf_counter() < ends:
                try:
                    found = (await client.post(PATH, content=body)).status_code
                except httpx.TransportError:
                    found = 0  # the connection was lost
                status[found] += 1
                if found == 429:
                    await asyncio.sleep(0.05)

        async def probe() -> None:
            while time.perf_counter() < ends:
                start = time.perf_counter()
                assert (await client.get("/healthz")).status_code == 200
                alive.append(time.perf_counter() - start)
                memory.append(resident(process))
                await asyncio.sleep(1)

        await asyncio.gather(probe(), *(push() for _ in range(64)))
        answer = await client.post(PATH, content=body)
    print(f"\noverload: batches of {BATCH:,} rows from 64 connections for {seconds:g} seconds")
    print(f"answers {dict(status)}; afterwards {answer.status_code}")
    ms = 1000 * np.array(alive)
    print(f"  /healthz meanwhile p50 {np.median(ms):.0f}, at most {ms.max():.0f} ms")
    print_memory(memory)


def print_memory(mib: list[float]) -> None:
    shown = [f"{mib[k]:,.0f}" for k in np.linspace(0, len(mib) - 1, min(11, len(mib))).astype(int)]
    print(f"  memory over time {' '.join(shown)} MiB, {max(mib):,.0f} at most")


if __name__ == "__main__":
    main()
