"""What refuses a request, as OpenAPI has it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


def _problem(about: str, example: str) -> dict[str, Any]:
    content = {"application/json": {"example": {"detail": example}}}
    return {"model": Problem, "description": about, "content": content}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: _problem("The request cannot be used", "the body is no JSON (...): send {...}"),
    401: _problem("No valid token", "expected a token: send the header 'Authorization: ...'"),
    403: _problem("The role of the token is another", "the role 'review' may not score"),
    404: _problem("There is no such thing", "there is no model 'x'; see GET /v1/models"),
    413: _problem("Too much at once", "expected at most 100,000 rows, found 200,000"),
    422: _problem("A parameter is malformed", "query reasons: Input should be ..."),
    429: _problem("Too often, or too many at once", "too many requests; ask again in 1 seconds"),
    503: _problem("Not now", "the database refuses (...): ... then ask again"),
}
