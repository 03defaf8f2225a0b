"""A PostgreSQL of the tests' own: in a temporary folder, on a Unix socket, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import psycopg

OWNER = "postgres"  # as root may not run a PostgreSQL


def programs():
    """The folder of PostgreSQL's programs, or None where it is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


class Postgres:
    """A server with the defaults of its makers, but for where it listens."""

    def __init__(self):
        self.bin = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="unseen-pg-", dir="/tmp"))
        self.how = {"cwd": self.folder, "stdout": subprocess.DEVNULL}
        if os.geteuid() == 0:
            user = pwd.getpwnam(OWNER)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.how |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        make = [self.bin / "initdb", "-D", self.folder / "data", "-U", OWNER, "-E", "UTF8"]
        subprocess.run([*make, "--locale=C", "-A", "trust", "--no-sync"], check=True, **self.how)
        self.server = None

    def start(self):
        """Start it, or start it again, and wait until it answers."""
        line = [self.bin / "postgres", "-D", self.folder / "data", "-k", self.folder]
        line += ["-c", "listen_addresses=", "-c", "log_min_messages=fatal"]
        for _ in range(200):
            if self.server is None or self.server.poll() is not None:
                self.server = subprocess.Popen(line, stderr=subprocess.DEVNULL, **self.how)
            try:
                psycopg.connect(self.address(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError("PostgreSQL did not start in ten seconds")

    def stop(self, number=signal.SIGINT):
        """End it: SIGINT in order, SIGQUIT at once, SIGKILL as a crash."""
        if self.server is not None:
            self.server.send_signal(number)
            self.server.wait()

    def address(self, database=OWNER):
        return f"postgresql://{OWNER}@/{database}?host={self.folder}"

    def fresh(self):
        """The URL of a new database."""
        return self.address(self._made("DATABASE"))

    def space(self):
        """The URL of a new schema, which is sooner made, and looks like a database of its own."""
        return f"{self.address()}&options=-csearch_path%3D{self._made('SCHEMA')}"

    def _made(self, what):
        name = f"d{uuid4().hex[:12]}"
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(f"CREATE {what} {name}")
        return name

    def remove(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)
