"""Requests of the client: sent, sent again where the service is busy, refusals as errors."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from unseen.errors import DataError, UnseenError

_BUSY = (429, 503)  # nothing was done, and it may be asked again
_LONGEST = 30.0  # seconds between two tries


class Refused(UnseenError):
    """The service refused a request; the message is its own sentence.

    Parameters
    ----------
    text : str
        The sentence.
    status : int
        The status of HTTP; 0 where the service was not reached.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Wire:
    """The way to a service.

    Parameters
    ----------
    url : str
        Where it is.
    token : str
        A token.
    timeout : float
        Seconds to wait for a part of an answer.
    tries : int
        How often to ask where the service is busy or not reached.
    transport : httpx.BaseTransport, optional
        How requests are sent, for tests.
    """

    def __init__(
        self,
        url: str,
        token: str,
        timeout: float,
        tries: int,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.tries = tries
        headers = {"Authorization": f"Bearer {token}"}
        self.http = httpx.Client(
            base_url=url, headers=headers, timeout=timeout, transport=transport
        )

    def ask(self, method: str, path: str, **how: Any) -> Any:
        """What a route answers, as JSON."""
        with ExitStack() as stack:
            return json.loads(self.sent(stack, method, path, **how).read())

    def sent(
        self, stack: ExitStack, method: str, path: str, file: Path | None = None, **how: Any
    ) -> httpx.Response:
        """An answer that is no refusal, asked for again where the service is busy; the stack closes
        it.
        """
        named = "Idempotency-Key" in how.get("headers", {})
        for left in reversed(range(self.tries)):
            try:
                with ExitStack() as trying:
                    if file is not None:
                        how["content"] = trying.enter_context(file.open("rb"))
                    answer = trying.enter_context(self.http.stream(method, path, **how))
                    if answer.is_success:
                        stack.push(trying.pop_all())
                        return answer
                    problem = Refused(_why_refused(answer), answer.status_code)
                if answer.status_code not in _BUSY or not left:
                    raise problem
                wait = _seconds_asked(answer)
            except httpx.TransportError as error:
                # an answer that is lost may have been an act: only what may be said twice is
                if not left or not (named or method == "GET"):
                    where = self.http.base_url
                    raise Refused(f"{where}: no answer ({error}); check that it runs") from error
                wait = 2.0 ** (self.tries - left - 2)
            time.sleep(min(wait, _LONGEST))
        raise AssertionError("the last try returns or raises")


def _seconds_asked(answer: httpx.Response) -> float:
    """How long a busy service asks to wait; 1 second where it says none, or a date, as proxies do.

    >>> dated = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    >>> _seconds_asked(httpx.Response(503, headers=dated)), _seconds_asked(httpx.Response(429))
    (1.0, 1.0)
    """
    text = answer.headers.get("Retry-After", "1")
    return float(text) if text.isascii() and text.isdigit() else 1.0


def _why_refused(answer: httpx.Response) -> str:
    """Why a request was refused."""
    try:
        return str(json.loads(answer.read())["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url}: status {answer.status_code}; is this the service?"


def as_parquet(frame: Any) -> bytes:
    """A data frame as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    if not hasattr(frame, "__arrow_c_stream__"):
        raise DataError(
            "expected a list of dictionaries, a data frame or an Arrow table, got "
            f"{type(frame).__name__}"
        )
    target = pa.BufferOutputStream()
    parquet.write_table(pa.table(frame), target)
    return bytes(target.getvalue())
