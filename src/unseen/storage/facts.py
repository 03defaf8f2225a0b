"""What is said about the making of a detector beside what it learned: anything that JSON holds, by
whoever saved it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

LONGEST, NAME = 200, 40  # characters of a fact that nobody knows the form of, and of its name
SHOWN = 20  # such facts that are shown

Count = Annotated[int, Field(ge=0, lt=2**63)]


class Counts(BaseModel):
    """What `unseen fit` says of its data.

    Parameters
    ----------
    source : str
        Name of the file or folder.
    label : str or None
        The column of labels; None where none was named, and for images.
    rows : int
        Rows of the file, or images that could be used.
    normals : int
        How many of them are labelled normal; all, where there is no label.
    unlabelled : int
        How many have no label.
    anomalies : dict of str to int
        How many there are of each anomaly class, most frequent first.
    failed : int
        Images that could not be used.
    """

    model_config = ConfigDict(strict=True)
    source: str
    label: str | None
    rows: Count
    normals: Count
    unlabelled: Count
    anomalies: dict[str, Count]
    failed: Count = 0


class Drawn(BaseModel):
    """What `unseen fit` says of the rows that its data were drawn from.

    Parameters
    ----------
    most : int
        Rows of each class that were drawn, at most.
    most_anomalies : int
        Rows of each kind of anomaly that were drawn, at most.
    seed : int
        What they were drawn by.
    rows : int
        Rows that there were.
    normals, unlabelled : int
        How many of them are labelled normal, and have no label; all are normal where no column of
        labels was named.
    anomalies : dict of str to int
        How many there were of each anomaly class, most frequent first.
    strata : int or None
        Values of the columns of domains and blocks that normal rows had; None where none was named.
    floor : int or None
        Normal rows that each of them kept at least, or all it had; 0 where there were too many.
    """

    model_config = ConfigDict(strict=True)
    most: Annotated[int, Field(ge=1, lt=2**63)]
    most_anomalies: Annotated[int, Field(ge=1, lt=2**63)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    rows: Count
    normals: Count
    unlabelled: Count
    anomalies: dict[str, Count]
    strata: Count | None = None
    floor: Count | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.rows != self.normals + self.unlabelled + sum(self.anomalies.values()):
            raise ValueError("the rows are not as many as those of the classes")
        return self


class Adapted(BaseModel):
    """What `unseen adapt` and `unseen recalibrate` say of their data.

    Parameters
    ----------
    source : str
        Name of the file or folder.
    rows : int
        Rows or images that the detector was given.
    """

    model_config = ConfigDict(strict=True)
    source: str
    rows: Count


class Checked(BaseModel):
    """What `unseen check` says of the answers.

    Parameters
    ----------
    rows : int
        Calibration rows that were checked.
    anomalies : int
        How many of them are anomalies.
    left_out : int
        Calibration rows that calibrate no longer.
    """

    model_config = ConfigDict(strict=True)
    rows: Count
    anomalies: Count
    left_out: Count


class Origin(BaseModel):
    """What saving says.

    Parameters
    ----------
    created : str
        Date and time of the first saving, in UTC, to the second (ISO 8601).
    unseen : str
        Release of unseen.
    torch : str
        Release of torch.
    """

    model_config = ConfigDict(strict=True)
    created: str
    unseen: str
    torch: str


def of_form(kind: Any, facts: object) -> Any:
    """The facts as this form, or one of them as this type; None where they have another.

    >>> (
    ...     of_form(Adapted, {"source": "new.csv", "rows": 7}),
    ...     of_form(Adapted, {"rows": "7"}),
    ...     of_form(list[str], 7),
    ... )
    (Adapted(source='new.csv', rows=7), None, None)
    """
    try:
        return _checking(kind).validate_python(facts, strict=True)
    except ValidationError:
        return None


@lru_cache
def _checking(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def of_data(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the data and its columns, as far as it is of a known form.

    >>> of_data({"label": "kind", "drop": 7, "rows": 430, "note": "first try"})
    {'source': 'the data', 'label': 'kind', 'rows': 430}
    """
    forms: dict[str, Any] = {"source": str, "label": str, "group": str, "block": str}
    forms |= {"drop": list[str], "rows": Count}
    shown = {
        name: facts[name]
        for name, form in forms.items()
        if of_form(form, facts.get(name)) is not None
    }
    none = {name: None for name in ("label", "group") if name in facts and facts[name] is None}
    return {"source": "the data", **none, **shown}


def headed(facts: Mapping[str, Any]) -> bool:
    """Whether a CSV file begins with names of columns, as the one did that the detector was trained
    on.
    """
    return facts.get("header") is not False


def formless(facts: Mapping[str, Any]) -> dict[str, str]:
    """The facts that are of no known form, as JSON, long ones cut.

    >>> formless({"rows": 430, "evaluation": "AUROC 0.9", "fit_seconds": 2.5})
    {'rows': '430', 'evaluation': '"AUROC 0.9"'}
    """
    values = {
        "drop": list[str],
        "header": bool,
        "group": str | None,
        "block": str,
        "blocks": Count,
        "fit_seconds": float,
        "simpler": str,
        "evaluation": list[dict[str, Any]],
    }
    shown = {
        name
        for name, kind in values.items()
        if of_form(kind, facts.get(name)) is not None or facts.get(name) is None
    }
    for kind in (Origin, Counts):
        if of_form(kind, facts) is not None:
            shown |= set(kind.model_fields)
    inside: dict[str, Any] = {"adapted": Adapted, "recalibrated": Adapted}
    inside |= {"checked": Checked, "drawn": Drawn}
    shown |= {name for name, kind in inside.items() if of_form(kind, facts.get(name)) is not None}
    rest = [name for name in facts if name not in shown]
    found = {_cut_to(name, NAME): as_text(facts[name]) for name in rest[:SHOWN]}
    return found | ({"more facts": f"{len(rest) - SHOWN:,}"} if len(rest) > SHOWN else {})


def as_text(value: object) -> str:
    return _cut_to(json.dumps(value, ensure_ascii=False), LONGEST)


def _cut_to(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"
