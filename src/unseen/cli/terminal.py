"""The two ends of a terminal: results to standard output; notes, errors and progress to standard
error.
"""

from __future__ import annotations

import logging
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from unseen.errors import FewNormals
from unseen.quiet import heard, is_quiet

STOPPING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]

# what no terminal shows as it is, or shows elsewhere: control characters, marks of direction,
# halves of characters
UNPRINTABLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def _printable(text: str) -> str:
    """Text as a terminal may have it, whoever wrote it.

    >>> _printable("bytes \\x1b[31min\\u202etuo")
    'bytes \\\\x1b[31min\\\\u202etuo'
    """
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Printer(Console):
    """A console that shows names from files, folders and saved detectors as what they are, not as
    commands to it.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for part in super().render(renderable, options):
            yield part if part.control else Segment(_printable(part.text), part.style)


out = Printer(markup=False, emoji=False, highlight=False)
err = Printer(markup=False, emoji=False, highlight=False, stderr=True)


def say(text: str) -> None:
    """A line of the result, however long: a path or a command must stay whole."""
    out.print(text, soft_wrap=True)


def complain(text: str) -> None:
    err.print(text, soft_wrap=True)


def aloud(target: Path) -> Callable[[str], None]:
    """Where words about a result go: to standard error if standard output is the result."""
    if str(target) != "-":
        return say
    return (lambda text: None) if is_quiet() else complain


def written_to(target: Path, overlays: Path | None = None) -> str:
    """What the last line says of a file that was written, and of the pictures beside it."""
    name = "standard output" if str(target) == "-" else str(target)
    return f"written to {name}" + (f"; look at {overlays}" if overlays else "")


def conclude(target: Path, text: str, overlays: Path | None = None) -> None:
    """What came of rows that were written to a file, and where that is."""
    aloud(target)(f"{text}\n{written_to(target, overlays)}")


def save_results(target: Path | None, plain: Mapping[str, Any]) -> None:
    """The result as a JSON file as well, where one is named."""
    from unseen.io.write import save_json

    if target is not None:
        save_json(target, plain)
        say(f"\nwritten to {target}")


@contextmanager
def noted() -> Iterator[None]:
    """What the library warns of or logs meanwhile, each once, as a note on standard error, unless
    it was asked for silence before.
    """
    seen, silent = set[str](), is_quiet()
    log, level, shown = (
        logging.getLogger("unseen"),
        logging.getLogger("unseen").level,
        warnings.showwarning,
    )

    def note(text: str) -> None:
        if text not in seen and not silent:
            seen.add(text)
            complain(f"note: {text}")

    def record(message: logging.LogRecord) -> bool:
        if heard(message):  # this filter may stand before that of `quiet`
            note(message.getMessage())
        return False  # nothing is left for handlers

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, FewNormals):
            note(str(message))
        elif not silent:
            shown(message, category, filename, lineno, file, line)

    log.addFilter(record)
    log.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            # what it says of a file, the file's own note says
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.simplefilter("always", FewNormals)
            warnings.showwarning = show
            yield
    finally:
        log.removeFilter(record)
        log.setLevel(level)


@contextmanager
def stoppable() -> Iterator[None]:
    """Meanwhile SIGTERM and SIGHUP raise what Ctrl-C raises, with the number of the signal, so that
    all is cleaned up.

    What comes after the first is not heeded, but for Ctrl-C: who stops a service may send both.
    Where a signal is ignored, as below nohup, it stays so.
    """
    found = {number: signal.getsignal(number) for number in STOPPING}
    stopped = list[int]()
    before = {
        number: handler
        for number, handler in found.items()
        if handler not in (signal.SIG_IGN, None)
    }

    def stop(number: int, frame: FrameType | None) -> None:
        for other in before.keys() - {signal.SIGINT}:
            signal.signal(other, signal.SIG_IGN)
        stopped.append(number)
        raise KeyboardInterrupt(number)

    # Python lets no other thread handle signals
    if threading.current_thread() is not threading.main_thread():
        before = {}
    try:
        for number in before:
            signal.signal(number, stop)
        yield
    except KeyboardInterrupt as error:
        if stopped and not error.args:  # a library on the way raised its own
            raise KeyboardInterrupt(stopped[0]) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progressing(what: str, total: int | None = None) -> Iterator[Callable[..., Any]]:
    """A bar on standard error, where that is a terminal and nobody asked for silence; yields what
    takes the steps done, or 1.
    """
    # help shows none, and starts sooner without
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    silent = is_quiet() or not err.is_terminal
    with Progress(*columns, console=err, transient=True, disable=silent) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps=1: bar.advance(task, steps)
