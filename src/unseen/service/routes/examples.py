"""Bodies and answers of scoring, as OpenAPI shows them."""

from __future__ import annotations

from typing import Any

_ROW = {"row": 1, "score": 0.79, "pvalue": 0.551, "verdict": "normal", "kind": "normal"}
_ALARM = {
    "row": 2,
    "score": 9.2,
    "pvalue": 0.0017,
    "verdict": "anomaly",
    "kind": "new kind",
    "kind_pvalue": 0.06,
    "novelty": 0.99,
    "reasons": {"text": {"reasons": "load 50 (nearest normal: 3.1) 86%"}},
    "alert": 17,
}
_ANSWER = {"model": "pumps", "version": 3, "request": "5f0c...", "rows": [_ROW, _ALARM]}
_TEXT = {"type": "string"}
_JSON_ROWS = {
    "type": "object",
    "required": ["rows"],
    "properties": {"rows": {"type": "array", "items": {"type": "object"}}},
}
_FILES = {
    "type": "object",
    "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}},
}
SCORING: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _JSON_ROWS,
                "example": {"rows": [{"load": 3.2, "valve": "open"}, {"load": 50, "valve": None}]},
            },
            "application/jsonl": {"schema": _TEXT, "example": '{"load": 3.2, "valve": "open"}\n'},
            "text/csv": {"schema": _TEXT, "example": "load,valve\n3.2,open\n50,\n"},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {"schema": _FILES},
        },
    }
}
SCORED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Rows in the order in which they came",
        "content": {
            "application/json": {"example": _ANSWER},
            "application/jsonl": {"schema": _TEXT, "example": '{"row": 1, "score": 0.79, ...}\n'},
        },
    }
}
