"""GET /metrics, for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from unseen.service.access import allowed
from unseen.service.state import TheService
from unseen.service.tokens import Who

FORMAT = "text/plain; version=0.0.4; charset=utf-8"
router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response)
def read_metrics(service: TheService, who: Annotated[Who, Depends(allowed("read"))]) -> Response:
    """Counts and states, in Prometheus' text format; a token of any role will do."""
    return Response(service.metrics.text(), media_type=FORMAT)
