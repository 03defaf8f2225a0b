"""Work of the threads that judge, as asynchronous code waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import ExitStack
from typing import Any, TypeVar

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from unseen.service.door import Door

Result = TypeVar("Result")


class Held:
    """What a request holds, its place and its folder: given back when the work that needs them has
    ended, also where nobody waits for it any more. One that is `small` waits for no large one.
    """

    def __init__(self, door: Door) -> None:
        self.door, self.stack, self.small = door, ExitStack(), False
        self._working, self._over = False, False

    async def work(self, what: Callable[..., Result], *given: Any) -> Result:
        """The result of work on a thread that judges; one at a time."""
        future = self.door.judge(self.small, what, *given)
        self._working = True
        future.add_done_callback(lambda _: self._ended())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Give it back, now or when the work has ended."""
        self._over = True
        if not self._working:
            self.stack.close()

    def _ended(self) -> None:
        self._working = False
        if self._over:
            self.stack.close()


class Lines(StreamingResponse):
    """An answer in lines of JSON that are sent as they are made.

    Parameters
    ----------
    first : bytes
        Made already.
    more : generator
        Makes the rest, on the threads that judge; closed by what is held.
    held : Held
        Given back at the end, however it comes.
    headers : dict
        Of the answer.
    """

    def __init__(
        self,
        first: bytes | None,
        more: Generator[bytes, None, None],
        held: Held,
        headers: dict[str, str],
    ) -> None:
        super().__init__(self._each(first, more), media_type="application/jsonl", headers=headers)
        self.held = held

    async def _each(
        self, first: bytes | None, more: Generator[bytes, None, None]
    ) -> AsyncIterator[bytes]:
        piece = first
        while piece is not None:
            yield piece
            piece = await self.held.work(next, more, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.held.close()
