"""The flags that several commands share, and what `--help` says of them. Nothing heavy is
imported for help.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

ALPHA, LEVEL, ODD = 0.05, 0.01, 0.05

Saved = Annotated[Path, Parameter(name="DIR", help="folder of a saved detector")]
Train = Annotated[
    str,
    Parameter(
        help=(
            "normal rows, a few labelled anomalies: CSV, JSON Lines or Parquet files of any size, "
            "folders of Parquet files, patterns such as 'days/*.parquet', addresses such as "
            "s3://bucket/days; or a folder of images by class"
        )
    ),
]
NoHeader = Annotated[
    bool,
    Parameter(
        name="--no-header",
        help="the first line of a CSV file is a row; the columns are x0, x1, ...",
    ),
]
Cache = Annotated[
    Path | None,
    Parameter(
        metavar="DIR", help="folder that keeps what the backbone made of each image, for next time"
    ),
]
NewFile = Annotated[
    Path,
    Parameter(
        name="--out", metavar="FILE", help="CSV or Parquet file to write; - is standard output"
    ),
]
Recent = Annotated[
    Path,
    Parameter(
        name="DATA",
        help=(
            "CSV, JSON Lines or Parquet file of recent rows in the order in which they came, or a "
            "folder of images; - is standard input"
        ),
    ),
]
Json = Annotated[
    Path | None, Parameter(name="--json", metavar="FILE", help="JSON file to write as well")
]
Tail = Annotated[
    bool,
    Parameter(
        help="let a model give p-values below 1 / (calibration rows + 1), which data alone cannot"
    ),
]
Reasons = Annotated[
    int,
    Parameter(
        metavar="N",
        validator=validators.Number(gte=0),
        help="name up to N columns, or places, that made each alarm, and what is usual there",
    ),
]
Kinds = Annotated[
    bool,
    Parameter(
        help=(
            "columns kind (a labelled class, 'new kind', 'unsure', 'normal'), kind_pvalue (of the "
            "class) and novelty (chance of a new kind)"
        )
    ),
]
Trust = Annotated[
    tuple[str, ...],
    Parameter(
        metavar="PATH ...",
        help=(
            "import paths of methods of other packages, as mypackage.mine:Mine, which the "
            "saved detector may run"
        ),
    ),
]


def typed_default(default: object) -> str | None:
    """A default as it would be typed."""
    words = default if isinstance(default, tuple) else () if default is None else (str(default),)
    return " ".join(words) or None


HOME = Path("unseen-service")
Home = Annotated[
    Path,
    Parameter(metavar="FOLDER", help="folder of the service: versions of models, and its database"),
]
StoreUrl = Annotated[
    str | None,
    Parameter(
        name="--store",
        env_var="UNSEEN_STORE",  # which shows a password to fewer than a command line does
        metavar="URL",
        help=(
            "database: sqlite:///FILE or postgresql://USER@HOST/NAME; without it SQLite in the "
            "folder of the service"
        ),
    ),
]
