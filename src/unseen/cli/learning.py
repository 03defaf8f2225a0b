"""The flags of what a detector learns from, and how; the names of methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, validators

from unseen.cli.flags import Cache, NoHeader
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
    rows: Annotated[
        int,
        Parameter(
            metavar="N",
            validator=validators.Number(gte=1),
            help="rows to learn from at most: of normal ones, of those without a label, of each "
            "kind of anomaly; of more so many are drawn, and of each kind of anomaly 10,000",
        ),
    ] = 1_000_000
    backbone: Annotated[
        str, Parameter(help="lite0, or the folder of a vision model of Hugging Face")
    ] = "lite0"
    size: Annotated[int, Parameter(help="pixels of the square that it sees of an image")] = 224
    tiles: Annotated[int, Parameter(help="how many such squares in a row see a large image")] = 1
    cache: Cache = None

    def source(
        self,
        data: Path | tuple[str, ...],
        progress: Callable[[int], Any] = lambda done: None,
        tests: Path | None = None,
        seed: int = 0,
        spread: Any = None,
    ) -> Source:
        """Where the rows come from, drawn by a seed from more than are held, and by workers where
        something spreads that; DataError for flags that mean nothing there, and where those that
        `tests` has are of another sort.
        """
        from unseen.scoring.drawing import Drawing, InParts, in_turn
        from unseen.scoring.sources import check_alike, check_flags, files_of, source_of
        from unseen.vision.features import Features

        check_alike(data, tests)
        check_flags(data, self._unusual() | {"engine": spread})
        header = not self.no_header
        reader = in_turn if spread is None else InParts(files_of(data, header), spread)
        place = self.backbone if self.backbone == "lite0" else str(Path(self.backbone).resolve())
        return source_of(
            data,
            label=self.label,
            normal=self.normal,
            drop=self.drop,
            group=self.group,
            block=self.block,
            header=header,
            features=Features(backbone=place, size=self.size, tiles=self.tiles),
            cache=self.cache,
            progress=progress,
            drawing=Drawing(self.rows, seed, reader=reader, progress=progress),
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


def either(data: Any, number: int | None) -> Any:
    """Blocks as a column of the data names them, or their number; DataError for both."""
    from unseen.errors import DataError

    if data.blocks is not None and number is not None:
        raise DataError("expected --block or --blocks, found both: leave one out")
    return data.blocks if number is None else number
