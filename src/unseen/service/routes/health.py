"""GET /healthz and /readyz: whether the process lives, and whether it can judge."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from unseen.errors import UnseenError
from unseen.service.state import TheService

router = APIRouter(tags=["health"])


def _says(status: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI shows of an answer."""
    return {200: {"content": {"application/json": {"example": {"status": status}}}}}


@router.get("/healthz", responses=_says("alive"))
async def alive() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "alive"}


@router.get("/readyz", responses=_says("ready"))
def ready(service: TheService) -> Any:
    """Whether the database answers and all models are loaded; else 503."""
    try:
        for name in service.registry.names():
            service.registry.serving(name)
    except UnseenError:
        return JSONResponse({"status": "not ready"}, 503, {"Retry-After": "5"})
    return {"status": "ready"}
