"""The guard in front of all routes: sizes and times of requests, headers of answers, one line of
the log for each.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from secrets import token_hex
from traceback import extract_tb
from typing import Any
from urllib.parse import unquote_plus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unseen.service.logs import log
from unseen.service.state import Service
from unseen.service.tokens import PREFIX

DRAINED = 4 << 20  # bytes of a body that nobody wants
HEAD = 16 << 10  # bytes of address and headers
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MOST = "unseen.most"  # in the scope: bytes that the body may have
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
}
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECRETS = re.compile(
    rf"{PREFIX}[A-Za-z0-9_-]{{20}}|[?&;](access_token|api_?key|auth\w*|bearer|password|secret|token)=",
    re.IGNORECASE,
)
_IN_ADDRESS = (
    "a token in an address ends up in logs and histories: send the header 'Authorization: Bearer "
    "TOKEN', and make a new token in place of this one"
)


def admit_body(scope: Any, most: int) -> None:
    """Let the body of a request be larger than usual: for routes that know who asks."""
    scope[MOST] = most


class Guard:
    """Middleware around an application.

    Parameters
    ----------
    app : ASGI application
        What answers.
    service : Service
        Whose limits hold, and who counts.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Exchange(self.app, self.service, scope, receive, send).run()
        elif scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, app: ASGIApp, service: Service, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.app, self.scope, self.limits = app, scope, service.limits
        self.answered = service.metrics.answered
        self.receive, self.send = receive, send
        self.start = time.monotonic()
        self.status, self.taken, self.sent = 0, 0, 0
        self.whole = False  # the body has arrived
        sent = Headers(scope=scope).get("x-request-id", "")
        self.id = sent if _ID.fullmatch(sent) else token_hex(8)
        scope.setdefault("state", {})["request_id"] = self.id
        scope[MOST] = self.limits.small

    async def run(self) -> None:
        trouble: dict[str, Any] = {}
        try:
            refused = self._refused()
            if refused is not None:
                await self._answer(*refused)
            else:
                await self.app(self.scope, self._received, self._sending)
        except TimeoutError:
            trouble = {"error": "the client took the answer too slowly"}
        except Exception as error:
            trouble = _crash(error)
            if not self.status:
                text = "the service failed; the log has more under this number"
                await self._answer(500, f"{text}: {self.id}")
        finally:
            self._note(trouble)

    def _refused(self) -> tuple[int, str] | None:
        """Status and reason where a request is refused by its head alone."""
        headers, query = Headers(scope=self.scope), self.scope.get("query_string", b"")
        address = f"{self.scope['path']}?{unquote_plus(query.decode('latin-1'))}"
        if sum(len(name) + len(value) for name, value in headers.raw) + len(address) > HEAD:
            return 431, f"expected at most {HEAD:,} bytes before the body"
        if _SECRETS.search(address):
            return 400, _IN_ADDRESS
        coding = headers.get("content-encoding", "identity")
        if coding.strip().lower() != "identity":
            return 415, "expected a body that is not compressed; Parquet is small as it is"
        if "transfer-encoding" in headers and "content-length" in headers:
            return 400, "expected one length of the body, found two"
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            return 400, "expected a number of bytes as Content-Length"
        if len(length) > 15 or int(length) > self.limits.body:
            return 413, _too_large(self.limits.body)
        return None

    async def _received(self) -> Message:
        """A piece of the body, which may be only so large and take only so long."""
        if self.whole:
            return await self.receive()
        left = self.start + self.limits.seconds - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                message = await self.receive()
        except TimeoutError:
            raise HTTPException(
                408, f"expected the whole body within {self.limits.seconds:g} seconds"
            ) from None
        self.taken += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        if self.taken > self.scope[MOST]:
            raise HTTPException(413, _too_large(self.scope[MOST]))
        return message

    async def _sending(self, message: Message) -> None:
        """A piece of the answer, with the headers that all answers have."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.id
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if not await self._drained():
                headers["Connection"] = "close"  # what is left of the body is not read
        self.sent += len(message.get("body", b""))
        async with asyncio.timeout(self.limits.seconds):
            await self.send(message)

    async def _answer(self, status: int, text: str) -> None:
        """An answer of the guard's own."""
        body = json.dumps({"detail": text}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await self._sending({"type": "http.response.start", "status": status, "headers": headers})
        await self._sending({"type": "http.response.body", "body": body})

    async def _drained(self) -> bool:
        """Whether the body came to its end: what is left of a small one that nobody wants is taken
        and thrown away. A client that still writes when the connection is closed would never read
        why.
        """
        headers = Headers(scope=self.scope)
        length, chunked = headers.get("content-length", "0"), "transfer-encoding" in headers
        if self.whole or (length == "0" and not chunked):
            return True
        doubtful = chunked and "content-length" in headers  # where does it end?
        if doubtful or self.status == 408 or not length.isdigit() or int(length[:16]) > DRAINED:
            return False
        try:
            async with asyncio.timeout(self.start + self.limits.seconds - time.monotonic()):
                while not self.whole and self.taken <= DRAINED:
                    message = await self.receive()
                    self.taken += len(message.get("body", b""))
                    self.whole = not message.get("more_body", False)
        except TimeoutError:
            pass
        return self.whole

    def _note(self, trouble: dict[str, Any]) -> None:
        """One line of the log: nothing in it is what the client wrote, but its name."""
        route, state = self.scope.get("route"), self.scope["state"]
        client = self.scope.get("client")
        path, method = getattr(route, "path", "-"), self.scope["method"]
        method = method if method in METHODS and route is not None else "-"
        seconds = time.monotonic() - self.start
        self.answered(method, path, self.status, seconds)
        facts = {
            "request": self.id,
            "method": method,
            "route": path,
            "who": getattr(state.get("who"), "name", "-"),
            "from": client[0] if client else "-",
            "status": self.status,
            "ms": round(1000 * seconds, 1),
            "bytes_in": self.taken,
            "bytes_out": self.sent,
        }
        (log.error if trouble else log.info)("request", extra={"facts": facts | trouble})


def _too_large(most: int) -> str:
    return (
        f"expected a body of at most {most:,} bytes; rows as JSON Lines, CSV or Parquet may be the "
        "largest"
    )


def _crash(error: Exception) -> dict[str, Any]:
    """Of an error the kind and the places alone: its words may hold values of rows."""
    places = extract_tb(error.__traceback__)[-8:]
    at = [f"{place.filename}:{place.lineno} {place.name}" for place in places]
    return {"error": type(error).__name__, "at": at}
