"""What a figure was measured on: without names of hosts or folders, which say nothing to other readers."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "pandas", "pyod", "deepod", "catboost", "xgboost")


def machine() -> str:
    """CPU model and number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


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
