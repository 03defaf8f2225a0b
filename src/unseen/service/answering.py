"""The answer to a request: its rows or images judged, as one JSON text or line by line."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from unseen.errors import DataError, UnseenError
from unseen.scoring.rows import FileRows, FrameRows
from unseen.scoring.sources import data_again
from unseen.scoring.tables import TableSource
from unseen.service.bodies import BODY, BodyRows, Given, check_pixels, rows_of_json
from unseen.service.judging import Request, judged
from unseen.service.logs import log
from unseen.service.registry import Serving
from unseen.service.state import Service
from unseen.storage.facts import of_data


@dataclass(frozen=True)
class Answering:
    """What is judged for a request, on a thread that judges.

    Parameters
    ----------
    service : Service
        What answers.
    serving : Serving
        The version that judges.
    given : Given
        The body.
    asked : Request
        What the client wants to be told.
    by_group : bool
        Whether rows are judged by domain.
    """

    service: Service
    serving: Serving
    given: Given
    asked: Request
    by_group: bool = False

    def whole(self) -> bytes:
        """All rows in one JSON text."""
        with self._in_clients_words(), closing(self._judged()) as blocks:
            rows = [row for block in blocks for row in block]
        return _json({**self.about(), "rows": rows})

    def lines(self) -> Generator[bytes, None, None]:
        """A line for each row, some at a time. What goes wrong later is the last line: the answer
        has begun.
        """
        done = 0
        try:
            with self._in_clients_words(), closing(self._judged()) as blocks:
                for block in blocks:
                    yield b"".join(_json(row) + b"\n" for row in block)
                    done += len(block)
        except UnseenError as error:
            if not done:
                raise
            yield _json({"error": str(error)}) + b"\n"
        except Exception as error:
            if not done:
                raise
            log.error("scoring", extra={"facts": {"error": type(error).__name__}})
            yield _json({"error": f"the service failed after {done:,} rows"}) + b"\n"

    def about(self) -> dict[str, Any]:
        """What judges, and under which number alerts remember the request."""
        serving = self.serving
        return {"model": serving.model, "version": serving.version, "request": self.asked.id}

    def headers(self) -> dict[str, str]:
        """The same, for an answer in lines."""
        return {f"X-Unseen-{name.title()}": str(value) for name, value in self.about().items()}

    def _judged(self) -> Generator[list[dict[str, Any]], None, None]:
        count, about = self.service.traffic.count, (self.serving.model, self.serving.version)
        try:
            source = self.service.watch.tapped(self.serving, self._source())
            with closing(judged(self.service, self.serving, source, self.asked)) as blocks:
                for _, answers in blocks:
                    self._name_no_places(answers)
                    alarms = sum("alert" in answer for answer in answers)
                    count(*about, len(answers), alarms)
                    failed = sum(answer["verdict"] == "failed" for answer in answers)
                    self.service.metrics.judged(*about, len(answers), alarms, failed)
                    yield answers
        except Exception:
            count(*about, failed=1)
            raise

    def _source(self) -> Any:
        """The rows or images that came, as the detector reads them."""
        given, bundle, limits = self.given, self.serving.bundle, self.service.limits
        noun, sent = bundle.detector.schema_.noun, "images" if given.names else "rows"
        if noun != sent:
            raise DataError(f"this model judges {noun}, and the request brings {sent}")
        if given.folder is not None and given.names:
            check_pixels(given.folder, limits.pixels)
            return data_again(bundle, given.folder)
        group = of_data(bundle.facts).get("group")
        if self.by_group and group is None:
            raise DataError("by_group: this detector was fitted without a column of domains")
        keep = () if self.asked.key is None else (self.asked.key,)
        place: FileRows | FrameRows
        if given.file is not None:
            place = BodyRows(given.file, limits=limits)
        else:
            columns = {*bundle.detector.schema_.needed, *keep, *([group] if group else [])}
            place = rows_of_json(given.json or b"", limits, columns)
        return TableSource(place, group=group, keep=keep, by_group=self.by_group)

    @contextmanager
    def _in_clients_words(self) -> Iterator[None]:
        """Meanwhile, errors name no file of this machine."""
        try:
            yield
        except UnseenError as error:
            error.args = (self._without_places(str(error)),)
            raise

    def _name_no_places(self, answers: list[dict[str, Any]]) -> None:
        """The same of what is said of images that cannot be judged."""
        for answer in answers:
            if answer.get("problem") is not None:
                answer["problem"] = self._without_places(answer["problem"])

    def _without_places(self, text: str) -> str:
        """A text that names the body, and no place of this machine where it lies."""
        text = text.replace("the data frame", BODY)
        if self.given.file is not None:
            text = text.replace(str(self.given.file), BODY)
        if (folder := self.given.folder) is not None:
            text = text.replace(f"{folder}/", "").replace(str(folder), BODY)
        return text


def _json(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="null")
