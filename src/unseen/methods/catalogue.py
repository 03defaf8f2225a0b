"""The methods by the names that the command line uses, and their way to JSON and back."""

from __future__ import annotations

import dataclasses
from typing import Any

from unseen.errors import DataError
from unseen.fields import check_depth, check_field, check_inside, check_size, fields, holds_methods, shortened
from unseen.methods.aavae import AAVAE
from unseen.methods.ahl import AHL
from unseen.methods.autoencoder import AutoEncoder
from unseen.methods.clflow import CLFlow
from unseen.methods.comet import CoMet
from unseen.methods.con2 import Con2
from unseen.methods.continuous import ContinuousLabels
from unseen.methods.csad import CSAD
from unseen.methods.dcc import DCC
from unseen.methods.deepsad import DeepSAD, DeepSVDD
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.dmad import DMAD
from unseen.methods.dplan import DPLAN
from unseen.methods.duq import DUQ
from unseen.methods.ensemble import Ensemble
from unseen.methods.evidence import EvidenceStack
from unseen.methods.fecam import FeCAM
from unseen.methods.flos import FLOS
from unseen.methods.flow import FlowDensity
from unseen.methods.flowratio import FlowRatio
from unseen.methods.forest import Forest
from unseen.methods.imagestack import ImageStack
from unseen.methods.isolation import IsolationForest
from unseen.methods.kka import KKA
from unseen.methods.lisae import LISAE
from unseen.methods.logistic import Logistic
from unseen.methods.maml import MAML
from unseen.methods.metaocc import MetaOCC
from unseen.methods.multidirectional import MultiDirectional
from unseen.methods.multidirectional_literal import MultiDirectionalLiteral
from unseen.methods.patches import Patches
from unseen.methods.prenet import PReNet
from unseen.methods.prn import PRN
from unseen.methods.ratio import NearestRatio
from unseen.methods.resad import ResAD, ResADPlusPlus
from unseen.methods.saliencycut import SaliencyCut
from unseen.methods.simplenet import SimpleNet
from unseen.methods.ssae import SSAE
from unseen.methods.topk import TopK
from unseen.methods.whole import Whole
from unseen.types import Method

DEFAULT = EvidenceStack(
    on_deviation_features=(Logistic(),), on_raw_features=(Logistic(), Forest(trees=50)), on_both=(Forest(trees=50),)
)

METHODS: dict[str, Method] = {
    "evidence-stack": DEFAULT,
    "multi-directional": MultiDirectional(),
    "multi-directional-literal": MultiDirectionalLiteral(),
    "devnet": DevNet(),
    "autoencoder": AutoEncoder(),
    "comet": CoMet(AutoEncoder()),
    "deep-svdd": DeepSVDD(),
    "deep-sad": DeepSAD(),
    "prenet": PReNet(),
    "flos": FLOS(),
    "continuous-labels": ContinuousLabels(),
    "simplenet": SimpleNet(),
    "prn": PRN(),
    "saliency-cut": SaliencyCut(),
    "kka": KKA(DevNet()),
    "con2": Con2(),
    "duq": DUQ(),
    "csad": CSAD(),
    "aa-vae": AAVAE(),
    "lis-ae": LISAE(),
    "ssae": SSAE(),
    "dmad": DMAD(),
    "flow": FlowDensity(),
    "flow-ratio": FlowRatio(),
    "cl-flow": CLFlow(),
    "resad": ResAD(),
    "resad-pp": ResADPlusPlus(),
    "mahalanobis": Mahalanobis(),
    "fecam": FeCAM(),
    "dcc": DCC(),
    "nearest": Nearest(),
    "nearest-ratio": NearestRatio(),
    "isolation-forest": IsolationForest(),
    "forest": Forest(),
    "logistic": Logistic(),
    "maml": MAML(DevNet()),
    "ahl": AHL(DevNet()),
    "meta-occ": MetaOCC(),
    "dplan": DPLAN(),
    "ensemble": Ensemble(DevNet()),
}


IMAGE_DEFAULT = ImageStack(
    (
        Whole(MultiDirectional()),
        Whole(Nearest(whiten=True, shrinkage=0.1)),
        Patches(Nearest(k=1, whiten=True, bank=2048, coreset=True, shrinkage=0.01)),
        Patches(NearestRatio()),
    )
)

IMAGES: dict[str, Method] = {
    "image-stack": IMAGE_DEFAULT,
    "whole": Whole(MultiDirectional()),
    "patches": Patches(Nearest(k=1, whiten=True, bank=2048, coreset=True, shrinkage=0.01)),
    "patchcore": Patches(Nearest(k=1, coreset=True)),
    "topk": TopK(),
}
EVERY = METHODS | IMAGES


def usual_name(shape: tuple[int, ...]) -> str:
    """The name of the default for samples of this shape."""
    return "image-stack" if len(shape) > 1 else "evidence-stack"


def suited(method: Method | None, shape: tuple[int, ...]) -> Method:
    """The method, or the default, for samples of this shape: rows (d,), images (d, h, w), () where nobody knows yet.

    >>> suited(None, (3, 28, 28)) is IMAGE_DEFAULT, suited(Mahalanobis(), (3, 28, 28))
    (True, Patches(base=Mahalanobis(shrinkage=0.001), ...))
    """
    if method is None:
        return IMAGE_DEFAULT if len(shape) > 1 else DEFAULT
    if len(shape) == 1 and takes_images(method):
        raise DataError(
            f"{type(method).__name__} is a method for images, and was given a table: give it Images.read(folder), "
            "or take a method for rows"
        )
    return for_images(method) if len(shape) > 1 else method


def for_images(method: Method) -> Method:
    """The method, if it takes images; one for rows is put on their patches.

    >>> for_images(Mahalanobis())
    Patches(base=Mahalanobis(shrinkage=0.001), ...)
    """
    return method if takes_images(method) else Patches(method)


def takes_images(method: Method) -> bool:
    """Whether it is one of the methods in IMAGES, by its type."""
    return type(method) in {type(prototype) for prototype in IMAGES.values()}


def to_json(method: Method) -> dict[str, Any]:
    """A method as plain values: its name and its fields; methods inside methods likewise.

    >>> to_json(Mahalanobis(shrinkage=0.1))
    {'name': 'mahalanobis', 'shrinkage': 0.1}
    """
    names = {type(prototype): name for name, prototype in reversed(EVERY.items())}  # the first name of a type
    if type(method) not in names:
        raise DataError(
            f"{type(method).__name__} is not in METHODS or IMAGES, so it cannot be saved by name: {sorted(EVERY)}"
        )
    values = {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}  # type: ignore[arg-type]
    return {"name": names[type(method)], **{key: _plain(value) for key, value in values.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return to_json(value) if type(value) in {type(m) for m in EVERY.values()} else value


def from_json(spec: dict[str, Any]) -> Method:
    """The method that `to_json` wrote; DataError for fields that are unknown, of another type, or beyond their range.

    >>> from_json(to_json(DEFAULT)) == DEFAULT
    True
    """
    method = _from_json(spec, 1)
    check_size(method)
    return method


def _from_json(spec: object, depth: int) -> Method:
    check_depth(depth)
    name = spec.get("name") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(name, str) or name not in EVERY:
        raise DataError(f"unknown method {shortened(name)}: this release knows {', '.join(sorted(EVERY))}")
    kind, given = type(EVERY[name]), {key: value for key, value in spec.items() if key != "name"}
    known = fields(kind)
    if unknown := sorted(set(given) - set(known)):
        raise DataError(f"method {name!r} has no field {unknown[0]!r}: its fields are {', '.join(sorted(known))}")
    needed = {field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING}  # type: ignore[arg-type]
    if missing := sorted(needed - set(given)):
        raise DataError(f"method {name!r}: expected field {missing[0]!r}, found none")
    return kind(**{field: _field(kind, field, value, depth) for field, value in given.items()})


def _field(kind: type, name: str, value: object, depth: int) -> Any:
    """A field's value from JSON, checked before anything is made of it."""
    if not holds_methods(fields(kind)[name]):
        return check_field(kind, name, value)
    several = isinstance(value, list)
    each = tuple(_from_json(spec, depth + 1) for spec in (value if isinstance(value, list) else [value]))
    built = each if several else each[0]
    check_inside(kind, name, built)
    return built
