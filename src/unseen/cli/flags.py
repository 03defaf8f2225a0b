"""The flags that commands share: their types, and what `--help` says of them. Nothing heavy is
imported for help.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, validators

from unseen.names import resembling
from unseen.wording import option

if TYPE_CHECKING:
    from unseen.detector.detector import Detector
    from unseen.types import Method, Source

STACK, IMAGE_STACK = "evidence-stack", "image-stack"
_IN_ORDER = (
    "evidence-stack multi-directional multi-directional-literal devnet autoencoder comet deep-svdd "
    "deep-sad prenet flos continuous-labels simplenet prn saliency-cut kka con2 duq csad aa-vae "
    "lis-ae ssae dmad flow flow-ratio cl-flow resad resad-pp mahalanobis fecam dcc nearest "
    "nearest-ratio isolation-forest forest logistic maml ahl meta-occ dplan ensemble image-stack "
    "whole patches patchcore topk"
)
NAMES = tuple(_IN_ORDER.split())
ALPHA, LEVEL, ODD = 0.05, 0.01, 0.05

Saved = Annotated[Path, Parameter(name="DIR", help="folder of a saved detector")]
Train = Annotated[
    Path,
    Parameter(
        help=(
            "CSV, JSON Lines or Parquet file: normal rows, a few labelled anomalies; or a "
            "folder of images by class"
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


def _check_name(_: object, name: str | None) -> None:
    """ValueError for a method of which there is none; import paths are followed later."""
    if name is not None and name not in NAMES and ":" not in name:
        raise ValueError(
            f"There is no such method{resembling(name, NAMES)}; the names are {', '.join(NAMES)}."
        )


WHAT = f"what learns; without it {STACK}, of images {IMAGE_STACK}"
NAMED = (
    "a name, or the import path of your own as mypackage.mine:Mine; the names are "
    f"{', '.join(NAMES)}"
)
Several = Annotated[
    tuple[Annotated[str, Parameter(validator=_check_name)], ...],
    Parameter(
        name="--method",
        metavar="NAME ...",
        help=f"{WHAT}; several are compared; each is {NAMED}",
    ),
]
One = Annotated[
    str | None,
    Parameter(name="--method", metavar="NAME", validator=_check_name, help=f"{WHAT}; {NAMED}"),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Given:
    """What is said of the data to learn from."""

    label: Annotated[
        str | None, Parameter(metavar="COL", help="column of a file that says what each row is")
    ] = None
    normal: Annotated[
        str, Parameter(metavar="NAME", help="what that column, or a sub-folder, calls normal")
    ] = "normal"
    drop: Annotated[tuple[str, ...], Parameter(metavar="COL ...", help="columns to leave out")] = ()
    group: Annotated[
        str | None,
        Parameter(metavar="COL", help="column that names each row's domain, such as a machine"),
    ] = None
    block: Annotated[
        str | None,
        Parameter(
            metavar="COL",
            help="column that names what rows come from together, such as a run or a day: "
            "p-values then hold for a new one",
        ),
    ] = None
    no_header: NoHeader = False
    kind: Annotated[
        tuple[str, ...],
        Parameter(
            metavar="COL=KIND ...", help="number, boolean, category or text, where inferred wrongly"
        ),
    ] = ()
    backbone: Annotated[
        str, Parameter(help="lite0, or the folder of a vision model of Hugging Face")
    ] = "lite0"
    size: Annotated[int, Parameter(help="pixels of the square that it sees of an image")] = 224
    tiles: Annotated[int, Parameter(help="how many such squares in a row see a large image")] = 1
    cache: Cache = None

    def source(
        self,
        path: Path,
        progress: Callable[[int], Any] = lambda done: None,
        tests: Path | None = None,
    ) -> Source:
        """Where the rows come from; DataError for flags that mean nothing there, and where those
        that `tests` has are of another sort.
        """
        from unseen.scoring.sources import check_alike, check_flags, source_of
        from unseen.vision.features import Features

        check_alike(path, tests)
        check_flags(path, self._unusual())
        place = self.backbone if self.backbone == "lite0" else str(Path(self.backbone).resolve())
        return source_of(
            path,
            label=self.label,
            normal=self.normal,
            drop=self.drop,
            group=self.group,
            block=self.block,
            header=not self.no_header,
            features=Features(backbone=place, size=self.size, tiles=self.tiles),
            cache=self.cache,
            progress=progress,
        )

    def kinds(self) -> dict[str, str] | None:
        """Kinds of columns, None where none is said."""
        from unseen.detector.settings import pairs

        return pairs(self.kind, what=option("kinds", ...)) or None

    def _unusual(self) -> dict[str, object]:
        """Flags, as they are typed, that are not as usual."""
        usual = Given()
        names = [
            name
            for name in self.__dataclass_fields__
            if getattr(self, name) != getattr(usual, name)
        ]
        return {name.replace("_", "-"): getattr(self, name) for name in names}

    def typed(self) -> dict[str, object]:
        """What changes what is learned, by the names that `wording.words` takes."""
        found = {name.replace("-", "_"): value for name, value in self._unusual().items()}
        if found.pop("no_header", False):
            found["header"] = False
        return found


@Parameter(name="*")
@dataclass(frozen=True)
class Learning:
    """How is learned."""

    settings: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            metavar="FIELD=VALUE ...",
            help="fields of the method; a wrong one lists them",
        ),
    ] = ()
    device: Annotated[
        str,
        Parameter(
            metavar="NAME", help="what to train on: cpu, cuda, one of several as cuda:1, or auto"
        ),
    ] = "cpu"
    repeats: Annotated[
        Literal["keep", "once"] | None,
        Parameter(
            help=(
                "rows that occur several times count each time, or once; without it copies count "
                "once, and rows of few values each time"
            )
        ),
    ] = None

    def method(self, name: str | None, source: Source) -> Method | None:
        """The method of that name with the fields that are set; None for the default as it is."""
        from unseen.detector.settings import configured
        from unseen.errors import DataError

        images = source.noun == "images"
        if name in NAMES[NAMES.index(IMAGE_STACK) :] and not images:
            raise DataError(
                f"--method {name} is for a folder of images, and {source.name} is none: leave it "
                f"out for {STACK}"
            )
        if name is None and not self.settings:
            return None
        return configured(name or (IMAGE_STACK if images else STACK), self.settings)

    def methods(self, names: tuple[str, ...], source: Source) -> dict[str, Method]:
        """Methods to compare, by name; none for the default as it is."""
        from unseen.errors import DataError

        if self.settings and len(names) > 1:
            raise DataError(
                f"--set changes one method, and --method names {len(names)}: evaluate them one by "
                "one"
            )
        usual = IMAGE_STACK if source.noun == "images" else STACK
        found = {name or usual: self.method(name, source) for name in names or (None,)}
        return {name: method for name, method in found.items() if method is not None}

    def of(self, given: Given) -> dict[str, Any]:
        """What an evaluation does as `fit` does."""
        from unseen.detector.devices import device_of

        device_of(self.device)  # refuses one that is not there before minutes are spent
        return {
            "normal": given.normal,
            "kinds": given.kinds(),
            "device": self.device,
            "repeats": self.repeats,
        }

    def detector(
        self, name: str | None, source: Source, given: Given, *, seed: int, tail: bool
    ) -> Detector:
        """A detector as it is asked for; a device that is not there is refused before minutes are
        spent.
        """
        from unseen.detector.detector import Detector

        detector = Detector(
            self.method(name, source),
            normal=given.normal,
            kinds=given.kinds(),
            device=self.device,
            random_state=seed,
            tail=tail,
            repeats=self.repeats,
        )
        detector.torch_device()
        return detector

    def typed(self) -> dict[str, object]:
        """What changes what is learned, by the names that `wording.words` takes."""
        device = None if self.device == "cpu" else self.device
        return {"set": self.settings, "device": device, "repeats": self.repeats}


@Parameter(name="*")
@dataclass(frozen=True)
class Alarms:
    """The policy."""

    alpha: Annotated[
        float | None,
        Parameter(help=f"flag this share of normal rows; without another policy {ALPHA}"),
    ] = None
    fdr: Annotated[
        float | None, Parameter(help="flag rows so that this share of the alarms may be false")
    ] = None
    per_day: Annotated[
        float | None,
        Parameter(metavar="N", help="flag normal rows so often a day; needs --traffic"),
    ] = None
    traffic: Annotated[float | None, Parameter(metavar="ROWS", help="rows a day")] = None
    cost: Annotated[
        tuple[float, float] | None,
        Parameter(
            metavar="MISS ALARM",
            help="flag rows whose alarm is worth it, by what a miss and a look at an alarm cost",
        ),
    ] = None

    by_group: Annotated[
        bool, Parameter(help="judge a row beside normal rows of its own domain (fit --group)")
    ] = False

    def apart(self, source: Any) -> Any:
        """The source, its rows judged by domain where that is asked for."""
        from unseen.errors import DataError

        if not self.by_group:
            return source
        if getattr(source, "group", None) is None:
            raise DataError(
                "--by-group judges rows by the column of domains, and this detector was fitted "
                "without one: fit again with --group COL, or leave --by-group out"
            )
        return replace(source, by_group=True)

    def policy(self) -> Any:
        """The policy that is asked for, or the usual one."""
        from unseen.detector.policy import Policy
        from unseen.errors import DataError

        chosen = [
            f"--{name.replace('_', '-')}"
            for name in ("alpha", "fdr", "per_day", "cost")
            if getattr(self, name) is not None
        ]
        if len(chosen) > 1:
            raise DataError(f"expected one policy, found {' and '.join(chosen)}: keep one of them")
        if (self.per_day is None) != (self.traffic is None):
            raise DataError(
                "--per-day and --traffic go together, as in --per-day 20 --traffic 100000: the "
                "alarms that there is time for, and the rows, of one day"
            )
        if self.per_day is not None and self.traffic is not None:
            return Policy.per_day(self.per_day, self.traffic)
        if self.cost is not None:
            return Policy.cost(*self.cost)
        return Policy.of(self.alpha, self.fdr) if chosen else Policy.alpha(ALPHA)


def either(data: Any, number: int | None) -> Any:
    """Blocks as a column of the data names them, or their number; DataError for both."""
    from unseen.errors import DataError

    if data.blocks is not None and number is not None:
        raise DataError("expected --block or --blocks, found both: leave one out")
    return data.blocks if number is None else number


def typed_default(default: object) -> str | None:
    """A default as it would be typed."""
    words = default if isinstance(default, tuple) else () if default is None else (str(default),)
    return " ".join(words) or None
