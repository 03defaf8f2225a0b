"""What a detector computes on, in the words of a user."""

from __future__ import annotations

import re

import torch

from unseen.errors import DataError, Unsupported
from unseen.wording import option

CUDA = re.compile(r"cuda(:\d+)?")
EXPECTED = (
    "use 'cpu', 'cuda', one of several such as 'cuda:1', or 'auto' (CUDA where there is one, "
    "else the CPU)"
)


def device_of(device: object) -> torch.device:
    """The device of that name, if torch finds it here.

    >>> device_of("cpu"), device_of(torch.device("cpu"))
    (device(type='cpu'), device(type='cpu'))
    >>> device_of("gpu")
    Traceback (most recent call last):
    unseen.errors.DataError: device='gpu' is not known; use 'cpu', 'cuda', ...
    """
    name = str(device) if isinstance(device, torch.device) else device
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name in ("cpu", "cpu:0"):
        return torch.device("cpu")
    if isinstance(name, str) and CUDA.fullmatch(name):
        return _cuda(name)
    if isinstance(name, str) and re.fullmatch(r"(mps|xpu|hpu|xla|meta|vulkan|ipu)(:\d+)?", name):
        raise Unsupported(
            f"{option('device', name)}: this release computes on CPUs and CUDA devices only; "
            f"{EXPECTED}"
        )
    raise DataError(f"{option('device', name)} is not known; {EXPECTED}")


def _cuda(name: str) -> torch.device:
    """A CUDA device that is there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise Unsupported(
            f"{option('device', name)}: torch finds no CUDA device here; use 'cpu', or 'auto'"
        )
    number = int(name.partition(":")[2] or 0)
    if number >= count:
        there = ", ".join(f"'cuda:{k}'" for k in range(count))
        raise Unsupported(
            f"{option('device', name)}: torch finds {count} CUDA devices here, {there}; use one of "
            "them"
        )
    return torch.device(name)
