"""A client of the service: typed, thin, and patient where the service is busy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx

from unseen.errors import DataError
from unseen.service.wire import Refused, Wire, as_parquet

TYPES = {
    ".csv": "text/csv",
    ".jsonl": "application/jsonl",
    ".ndjson": "application/jsonl",
    ".parquet": "application/vnd.apache.parquet",
}
PARQUET = TYPES[".parquet"]


@dataclass(frozen=True)
class Judged:
    """A row or image that was judged.

    Parameters
    ----------
    row : int
        Its place among those that were sent, from 1.
    verdict : str
        "anomaly", "normal", or "failed" where it could not be judged.
    score, pvalue : float or None
        None where it could not be judged.
    key : str or None
        What tells it apart, where a column was named; of an image its name.
    kind : str or None
        "normal", a kind that was labelled, "new kind" or "unsure", where kinds are told.
    kind_pvalue, novelty : float or None
        Of an alarm.
    reasons : dict or None
        Of an alarm: `text` for people, and the same as numbers.
    alert : int or None
        The number of the alert that it raised.
    problem : str or None
        Why an image could not be judged.
    """

    row: int
    verdict: str
    score: float | None = None
    pvalue: float | None = None
    key: str | None = None
    kind: str | None = None
    kind_pvalue: float | None = None
    novelty: float | None = None
    reasons: dict[str, Any] | None = None
    alert: int | None = None
    problem: str | None = None

    @property
    def is_alarm(self) -> bool:
        """Whether it raised an alert."""
        return self.verdict == "anomaly"


_FIELDS = {field.name for field in fields(Judged)}


class Client:
    """A client of one service; several threads may share it.

    Parameters
    ----------
    url : str
        Where it is, such as "http://127.0.0.1:8000".
    token : str
        A token made by `unseen token add`.
    timeout : float
        Seconds to wait for a part of an answer.
    tries : int
        How often to ask where the service is busy or not reached. A request to score keeps its key,
        so that none of its rows raises an alert twice.
    transport : httpx.BaseTransport, optional
        How requests are sent, for tests.

    Examples
    --------
    Where a service runs::

        with Client("http://127.0.0.1:8000", token) as service:
            for row in service.score("pumps", [{"load": 3.2}, {"load": 50.0}]):
                if row.is_alarm:
                    page(row.alert, row.reasons)
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 60.0,
        tries: int = 5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._wire = Wire(url, token, timeout, tries, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._wire.http.close()

    def models(self) -> list[dict[str, Any]]:
        """All models, and the version of each that serves."""
        found: list[dict[str, Any]] = self.ask("GET", "/v1/models")
        return found

    def model(self, name: str) -> dict[str, Any]:
        """What is known of a model."""
        return self._object("GET", f"/v1/models/{name}")

    def card(self, name: str) -> str:
        """The card of a model, in Markdown."""
        with ExitStack() as stack:
            return self._wire.sent(stack, "GET", f"/v1/models/{name}/card").read().decode()

    def score(
        self,
        model: str,
        rows: Any,
        *,
        reasons: int = 3,
        key: str | None = None,
        by_group: bool = False,
        request: str | None = None,
    ) -> list[Judged]:
        """Judge rows.

        Parameters
        ----------
        model : str
            The name of the model.
        rows : list of dict, data frame or Arrow table
            The rows; frames of pandas and polars go as Parquet.
        reasons : int
            How many columns to name, of alarms.
        key : str, optional
            The column that tells rows apart.
        by_group : bool
            Whether rows are judged by domain.
        request : str, optional
            Names the request: sent again with the same rows, it raises no alert twice.

        Returns
        -------
        list of Judged
            In the order of the rows.

        Raises
        ------
        Refused
            Where the service refuses, or is not reached.
        """
        if isinstance(rows, Sequence):
            given: dict[str, Any] = {"json": {"rows": list(rows)}}
        else:
            given = {"content": as_parquet(rows), "headers": {"Content-Type": PARQUET}}
        return self._scored(model, given, reasons, key, by_group, request)

    def score_file(
        self,
        model: str,
        file: str | Path,
        *,
        reasons: int = 3,
        key: str | None = None,
        by_group: bool = False,
        request: str | None = None,
    ) -> Iterator[Judged]:
        """Judge the rows of a CSV, JSON Lines or Parquet file, which come as they are judged;
        arguments as of `score`. DataError for a file of another type.
        """
        path = Path(file)
        if path.suffix.lower() not in TYPES:
            raise DataError(f"{path}: expected a file that ends in {', '.join(TYPES)}")
        media = TYPES[path.suffix.lower()]
        named = {"Idempotency-Key": request or uuid4().hex}
        headers = {"Content-Type": media, "Accept": "application/jsonl"} | named
        how = {"params": _params(reasons, key, by_group), "headers": headers}
        with ExitStack() as stack:
            answer = self._wire.sent(stack, "POST", f"/v1/models/{model}/score", file=path, **how)
            for line in answer.iter_lines():
                found = json.loads(line)
                if "error" in found:
                    raise Refused(found["error"], answer.status_code)
                yield _judged_row(found)

    def score_images(
        self,
        model: str,
        files: Iterable[str | Path],
        *,
        reasons: int = 3,
        request: str | None = None,
    ) -> list[Judged]:
        """Judge image files; the key of each is its name. Arguments as of `score`."""
        parts = [("images", (Path(file).name, Path(file).read_bytes())) for file in files]
        return self._scored(model, {"files": parts}, reasons, None, False, request)

    def alerts(self, model: str, state: str = "open") -> Iterator[dict[str, Any]]:
        """The alerts of a model, "open", "answered" or "all", in the order in which they came."""
        after: int | None = 0
        while after is not None:
            params = {"state": state, "after": after}
            page = self.ask("GET", f"/v1/models/{model}/alerts", params=params)
            yield from page["alerts"]
            after = page["next"]

    def answer(
        self, model: str, alert: int, answer: str, kind: str | None = None, *, revision: int
    ) -> dict[str, Any]:
        """Answer an alert with "normal", "known", "new" or "unsure", as it was at its revision; a
        `Refused` of status 409 says that somebody answered since.
        """
        given = {"answer": answer, "kind": kind, "revision": revision}
        return self._object("PATCH", f"/v1/models/{model}/alerts/{alert}", json=given)

    def label_rows(self, model: str, labels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Label rows that are no alerts, each with `values`, `answer`, and what `answer` takes."""
        given = {"labels": [dict(each) for each in labels]}
        return self._object("POST", f"/v1/models/{model}/labels", json=given)

    def retrain(self, model: str, **settings: Any) -> dict[str, Any]:
        """Begin to learn what people said of rows: the job."""
        return self._object("POST", f"/v1/models/{model}/retrain", json=settings)

    def recalibrate(self, model: str, **settings: Any) -> dict[str, Any]:
        """Begin to take p-values from rows as they came of late: the job."""
        return self._object("POST", f"/v1/models/{model}/recalibrate", json=settings)

    def job(self, number: int) -> dict[str, Any]:
        """A job, and how far it is."""
        return self._object("GET", f"/v1/jobs/{number}")

    def cancel(self, number: int) -> dict[str, Any]:
        """End a job without a result."""
        return self._object("POST", f"/v1/jobs/{number}/cancel")

    def versions(self, model: str) -> dict[str, Any]:
        """The versions of a model, which of them serves, and its policy."""
        return self._object("GET", f"/v1/models/{model}/versions")

    def promote(self, model: str, number: int) -> dict[str, Any]:
        """Let a version serve from now on."""
        return self._object("POST", f"/v1/models/{model}/versions/{number}/promote")

    def rollback(self, model: str) -> dict[str, Any]:
        """Go back to the version that served before."""
        return self._object("POST", f"/v1/models/{model}/rollback")

    def ask(self, method: str, path: str, **how: Any) -> Any:
        """What any route answers, as JSON; arguments as httpx has them."""
        return self._wire.ask(method, path, **how)

    def _object(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(method, path, **how)
        return found

    def _scored(
        self,
        model: str,
        given: dict[str, Any],
        reasons: int,
        key: str | None,
        by_group: bool,
        request: str | None,
    ) -> list[Judged]:
        named = {"Idempotency-Key": request or uuid4().hex}
        given["headers"] = {**given.get("headers", {}), **named}
        params = _params(reasons, key, by_group)
        found = self.ask("POST", f"/v1/models/{model}/score", params=params, **given)
        return [_judged_row(row) for row in found["rows"]]


def _params(reasons: int, key: str | None, by_group: bool) -> dict[str, Any]:
    """The parameters of a request to score."""
    given = {"reasons": reasons, "key": key, "by_group": by_group or None}
    return {name: value for name, value in given.items() if value is not None}


def _judged_row(found: Mapping[str, Any]) -> Judged:
    """A row of an answer; what later releases add is left out."""
    return Judged(**{name: value for name, value in found.items() if name in _FIELDS})
