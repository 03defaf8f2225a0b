"""One case in a process of its own, which may neither take long, nor much memory, nor leave
anything.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import numpy as np

PATIENCE = 10  # a busy machine may take so many times longer than a case may compute
ENDED = {
    signal.SIGXCPU: "it took too long",
    signal.SIGALRM: "it took too long",
    signal.SIGSEGV: "it crashed",
    signal.SIGABRT: "it crashed",
}


class Wrong(AssertionError):
    """Something that must hold does not."""


@dataclass(frozen=True)
class Limits:
    """What a case may take: seconds of computing, and megabytes beside what the process has
    before.
    """

    seconds: int = 60
    megabytes: int = 2048


@dataclass(frozen=True)
class Found:
    """What a case did wrong: the kind of fault, one for faults of one cause, and what was seen of
    it.
    """

    kind: str
    text: str


@dataclass
class Trial:
    """A running case."""

    area: ModuleType
    seed: int
    shown: bool = False
    folder: Path = field(init=False)
    reading: int = field(init=False)
    pid: int = field(init=False)

    def __post_init__(self) -> None:
        self.area.ready(self.seed)
        self.folder = Path(tempfile.mkdtemp(prefix="unseen-fuzz-"))
        self.reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.reading)
            self.run(writing)
        os.close(writing)

    def run(self, writing: int) -> NoReturn:
        """The case, in the child."""
        try:
            limit(self.area.LIMITS)
            if not self.shown:
                silence(self.folder / "printed")
            report(writing, self.outcome())
        finally:
            os._exit(0)

    def outcome(self) -> Found | None:
        rng = np.random.default_rng([zlib.crc32(name_of(self.area).encode()), self.seed])
        (work := self.folder / "work").mkdir()
        try:
            os.chdir(work)
            self.area.case(rng, work)
        except Wrong as wrong:
            return Found(str(wrong).split(":")[0], f"{wrong} {noted(wrong)}")
        except BaseException as error:
            if self.shown:
                traceback.print_exc()
            return Found(*described(error))
        return None

    def finish(self) -> Found | None:
        """Wait for the end; what went wrong, if anything did."""
        with os.fdopen(self.reading, "rb") as pipe:
            said = pipe.read()
        status = os.waitpid(self.pid, 0)[1]
        shutil.rmtree(self.folder, ignore_errors=True)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            why = ENDED.get(signal.Signals(number), f"signal {number} ended it")
            return Found(why, f"{why}, {self.area.LIMITS}")
        return Found(**json.loads(said)) if said else None

    def end(self) -> None:
        """Break off."""
        os.kill(self.pid, signal.SIGKILL)
        self.finish()


def name_of(area: ModuleType) -> str:
    return area.__name__.rpartition(".")[2]


def limit(limits: Limits) -> None:
    """Limits of this process: the kernel ends it for computing or waiting too long."""
    spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    end = int(spent) + limits.seconds
    resource.setrlimit(resource.RLIMIT_CPU, (end, end + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(limits.seconds * PATIENCE)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + (limits.megabytes << 20),) * 2)


def silence(file: Path) -> None:
    """All that is printed goes to a file."""
    number = os.open(file, os.O_WRONLY | os.O_CREAT)
    os.dup2(number, 1)
    os.dup2(number, 2)


def report(writing: int, found: Found | None) -> None:
    if found:
        os.write(
            writing, json.dumps({"kind": found.kind[:200], "text": found.text[:2000]}).encode()
        )


def described(error: BaseException) -> tuple[str, str]:
    """The kind of an exception that must not be: its type and where in the package it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/unseen/" in frame.filename] or list(frames)
    place = own[-1]
    where = f"{Path(place.filename).name}:{place.name}"
    said = " ".join(str(error).split())[:300]
    kind = f"{type(error).__name__} in {where}"
    return kind, f"{kind}, line {place.lineno}: {said} {noted(error)}"


def noted(error: BaseException) -> str:
    """What the area said of the case."""
    return getattr(error, "__notes__", [""])[0]
