"""Scoring while a model is retrained on the same two cores, and how soon its new version serves.

python -m bench retraining            # about 4 minutes
python -m bench retraining --seconds 20

The server is that of `python -m bench load`; the retraining learns from the 2,000 normal rows that
stayed with the detector and from 60 labelled ones.
"""

import time
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from bench.studies.load import PATH, RATE, frame, saved, server

MODEL = "flows"
LABELS = 60
MOST = 900.0  # seconds that a job may take


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of rows without a job")
    chosen = parser.parse_args()
    with TemporaryDirectory(prefix="retraining-") as folder:
        saved(Path(folder) / MODEL)
        with server(Path(folder)) as (url, token, _), asking(url, token) as client:
            label(client)
            print(f"single rows at {RATE} a second, default method, 120 columns")
            shown("no job", scored(client, lambda spent: spent > chosen.seconds))
            job = answered(client.post(f"/v1/models/{MODEL}/retrain", json={"promote": True}))
            waiting: dict[str, Any] = {"state": "waiting"}

            def ended(spent: float) -> bool:
                if spent > waiting.get("asked", 0.0) + 1:
                    waiting.update(answered(client.get(f"/v1/jobs/{job['job']}")), asked=spent)
                assert spent < MOST, waiting
                return waiting["state"] not in ("waiting", "running")

            found = scored(client, ended)
            shown(f"while a retraining runs ({found[-1][0]:.0f} s, {waiting['state']})", found)
            done = time.perf_counter()
            while answered(client.get("/v1/models"))[0]["version"] != waiting["version"]:
                assert time.perf_counter() - done < 60
            print(f"version {waiting['version']} serves {time.perf_counter() - done:.1f} s later")
            shown("after it", scored(client, lambda spent: spent > chosen.seconds))


def asking(url: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def answered(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


def label(client: httpx.Client) -> None:
    """Sixty rows that people looked at."""
    rows = frame(LABELS, 5)
    rows.iloc[LABELS // 2 :, 40:44] += 7.0
    said = [
        {"values": row, "answer": "normal"} if k < LABELS // 2 else odd(row)
        for k, row in enumerate(rows.to_dict("records"))
    ]
    answered(client.post(f"/v1/models/{MODEL}/labels", json={"labels": said}))


def odd(row: dict[str, Any]) -> dict[str, Any]:
    return {"values": row, "answer": "new", "kind": "drip"}


def scored(client: httpx.Client, done: Any) -> list[tuple[float, float]]:
    """When each row was due, and how long it took from then on: single rows at a fixed rate until
    it is done.
    """
    rows = frame(2000, 2).to_dict("records")
    begin, found = time.perf_counter(), list[tuple[float, float]]()

    def one(k: int) -> None:
        answered(client.post(PATH, json={"rows": [rows[k % len(rows)]]}))
        found.append((k / RATE, time.perf_counter() - begin - k / RATE))

    with ThreadPoolExecutor(32) as pool:
        k = 0
        while not done(time.perf_counter() - begin):
            time.sleep(max(0.0, begin + k / RATE - time.perf_counter()))
            pool.submit(one, k)
            k += 1
    return sorted(found)


def shown(what: str, found: list[tuple[float, float]]) -> None:
    ms = 1000 * np.array([took for _, took in found])
    p50, p95, p99 = np.percentile(ms, [50, 95, 99])
    most = f"at most {ms.max():.0f}"
    print(f"{what}: {len(ms):,} rows, p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f}, {most} ms")


if __name__ == "__main__":
    main()
