"""Servers to kill: `unseen serve`, each forked from one process that has imported everything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

READY = "serving on "
# Each line that it reads is a command line, which a child of its own runs.
NURSERY = """
import json, os, sys
import unseen.service.run
from unseen.cli.main import main
from unseen.service.warming import warm
from unseen.storage.bundle import Bundle
warm(Bundle.load(sys.argv[1]).detector)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.close(0)
        status = main(json.loads(line))
        sys.stdout.flush()
        os._exit(status)
    print("child", child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


class Nursery:
    """Starts one server after the other, at the price of a fork each.

    Parameters
    ----------
    model : path
        A saved detector; what it needs is imported before the first fork.
    log : file
        For what servers write to standard error.
    """

    def __init__(self, model, log):
        self.pid = None
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY, model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def serve(self, *words):
        """Start `unseen serve`, and give the address when it answers."""
        self.process.stdin.write(json.dumps(["serve", *map(str, words), "--port", "0"]) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("child "):
                self.pid = int(line.split()[1])
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
            if line == "ended\n":
                break
        raise AssertionError("the server did not start")

    def kill(self, number=signal.SIGKILL):
        """End the server that runs, and wait until it is gone."""
        os.kill(self.pid, number)
        for line in self.process.stdout:
            if line == "ended\n":
                return

    def close(self):
        self.process.kill()
        self.process.communicate()
