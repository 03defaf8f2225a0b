"""GET /v1/models, what is known of each, and its card."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from unseen.report.card import model_card
from unseen.report.inspection import facts_of
from unseen.service.access import allowed
from unseen.service.registry import Serving
from unseen.service.state import TheService
from unseen.service.tokens import Who

router = APIRouter(prefix="/v1/models", tags=["models"])
Reader = Annotated[Who, Depends(allowed("read"))]


class Rule(BaseModel):
    """The policy of a model: which rows raise an alert."""

    kind: str
    level: float
    traffic: float | None


class Model(BaseModel):
    """A model, as lists have it."""

    name: str
    version: int
    judges: str
    policy: Rule
    classes: list[str]

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "name": "pumps",
                    "version": 3,
                    "judges": "rows",
                    "policy": {"kind": "alpha", "level": 0.01, "traffic": None},
                    "classes": ["leak", "seal"],
                }
            ]
        }
    }


class Known(Model):
    """A model, and what is known of the detector that serves."""

    columns: list[str]
    facts: dict[str, str]


@router.get("")
def models(service: TheService, who: Reader) -> list[Model]:
    """All models, and the version of each that serves."""
    registry = service.registry
    return [Model(**_plain_model(registry.serving(name))) for name in registry.names()]


@router.get("/{name}")
def model(name: str, service: TheService, who: Reader) -> Known:
    """What is known of a model: as `unseen info` shows it."""
    serving = service.registry.serving(name)
    schema = serving.bundle.detector.schema_
    columns = list(schema.needed) if schema.noun == "rows" else []
    return Known(**_plain_model(serving), columns=columns, facts=dict(facts_of(serving.bundle)))


@router.get(
    "/{name}/card",
    response_class=Response,
    responses={200: {"content": {"text/markdown": {"example": "# Model card: detector of ..."}}}},
)
def card(name: str, service: TheService, who: Reader) -> Response:
    """The card of a model, in Markdown: what it is for, what it was made of, what it will miss."""
    text = model_card(service.registry.serving(name).bundle)
    return Response(text, media_type="text/markdown; charset=utf-8")


def _plain_model(serving: Serving) -> dict[str, Any]:
    detector = serving.bundle.detector
    return {
        "name": serving.model,
        "version": serving.version,
        "judges": detector.schema_.noun,
        "policy": asdict(serving.policy),
        "classes": list(map(str, detector.classes_)),
    }
