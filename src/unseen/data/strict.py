"""Values from JSON that came from outside: every part is known, and of its own type."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

MOST = 2**53  # whole numbers up to it are the same to all that reads JSON


def strictly(kind: Any, plain: object) -> Any:
    """A value of this type, such as a dataclass of dataclasses; ValueError for unknown parts and
    for other types.

    What has a default may be missing, as in what an earlier release wrote.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    found = adapter.validate_json(json.dumps(plain), strict=True)
    _check_known(plain, adapter.dump_python(found, mode="json"))
    return found


def _check_known(plain: Any, known: Any, where: str = "") -> None:
    """ValueError for a key that the value has and what was made of it lacks, and for what no count
    ever reaches.
    """
    if isinstance(plain, int) and abs(plain) > MOST:
        raise ValueError(f"field {where.rstrip('.')!r}: the number is too large")
    if isinstance(plain, dict):
        for key, value in plain.items():
            if not isinstance(known, dict) or key not in known:
                raise ValueError(f"unknown field {where + str(key)!r}")
            _check_known(value, known[key], f"{where}{key}.")
    elif isinstance(plain, list):
        for k, value in enumerate(plain):
            _check_known(value, known[k], f"{where}{k}.")
