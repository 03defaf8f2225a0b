"""What a figure was measured on, without names of hosts or folders; and what a command takes."""

import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = ["numpy", "scipy", "scikit-learn", "torch", "pandas"]
PACKAGES += ["pyod", "deepod", "catboost", "xgboost"]
CLI = [sys.executable, "-m", "unseen"]
MB = 1.024e-3  # a kilobyte of the system's, in megabytes


def machine() -> str:
    """CPU model and number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{[*models, platform.machine()][0]}, {os.cpu_count()} cores"


def versions() -> str:
    """Python and the packages that results depend on, as far as they are installed."""
    found = [f"python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def measured(command: list[str]) -> tuple[str, float, float]:
    """What a command prints, its seconds, and the most megabytes that its process held."""
    with tempfile.TemporaryFile("w+") as printed:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=printed, stderr=printed)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        printed.seek(0)
        text = printed.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{text}")
    return text, seconds, usage.ru_maxrss * MB
