"""The methods by the names that the command line uses, and their way to JSON and back."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from unseen.errors import DataError
from unseen.fields import (
    check_depth,
    check_field,
    check_inside,
    check_layers,
    holds_methods,
    is_method,
    method_fields,
    needed,
    ours,
    plain,
    shortened,
)
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
from unseen.methods.foreign import (
    created,
    imported,
    is_importable,
    is_path,
    path_of,
    prototype,
    untrusted,
)
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
from unseen.names import resembling
from unseen.types import Method
from unseen.wording import option

DEFAULT = EvidenceStack(
    on_deviation_features=(Logistic(),),
    on_raw_features=(Logistic(), Forest(trees=50)),
    on_both=(Forest(trees=50),),
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


_NEAREST = Nearest(k=1, whiten=True, bank=2048, coreset=True, shrinkage=0.01)
PATCHCORE = Patches(Nearest(k=1, coreset=True), stride=1, context=False, unscaled=True, top=(0.0,))

IMAGE_DEFAULT = ImageStack(
    (
        Whole(MultiDirectional()),
        Whole(Nearest(whiten=True, shrinkage=0.1)),
        Patches(_NEAREST, context=False),
        Patches(Nearest(k=1, bank=2048, coreset=True), context=False, unscaled=True),
        Patches(NearestRatio()),
    )
)

IMAGES: dict[str, Method] = {
    "image-stack": IMAGE_DEFAULT,
    "whole": Whole(MultiDirectional()),
    "patches": Patches(_NEAREST, context=False),
    "patchcore": PATCHCORE,
    "topk": TopK(),
}
EVERY = METHODS | IMAGES


def usual_name(shape: tuple[int, ...]) -> str:
    """The name of the default for samples of this shape."""
    return "image-stack" if len(shape) > 1 else "evidence-stack"


def suited(method: Method | None, shape: tuple[int, ...]) -> Method:
    """The method, or the default, for samples of this shape: rows (d,), images (d, h, w), () where
    nobody knows yet.

    >>> suited(None, (3, 28, 28)) is IMAGE_DEFAULT, suited(Mahalanobis(), (3, 28, 28))
    (True, Patches(base=Mahalanobis(shrinkage=0.001), ...))
    """
    if method is None:
        return IMAGE_DEFAULT if len(shape) > 1 else DEFAULT
    if len(shape) == 1 and takes_images(method):
        raise DataError(
            f"{type(method).__name__} is a method for images, and was given a table: give it "
            "Images.read(folder), or take a method for rows"
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


def method_named(name: str) -> Method:
    """The method of this name, or of this import path with its fields at their defaults.

    >>> method_named("mahalanobis")
    Mahalanobis(shrinkage=0.001)
    >>> method_named("mahalonobis")
    Traceback (most recent call last):
    unseen.errors.DataError: method='mahalonobis': there is no method of that name ...
    """
    if is_path(name):
        return prototype(name)
    if name in EVERY:
        return EVERY[name]
    raise DataError(
        f"{option('method', name)}: there is no method of that "
        f"name{resembling(name, list(EVERY))}; the names are {', '.join(EVERY)}, and a method of "
        "another package is named as mypackage.mine:Mine"
    )


def to_json(method: Method, *, to_read: bool = False) -> dict[str, Any]:
    """A method as plain values: its name or import path, and its fields; methods inside likewise.

    DataError for a class that no other program can import, and for fields that JSON cannot hold;
    with `to_read`, where nobody makes a method of it again, a text in their place.

    >>> to_json(Mahalanobis(shrinkage=0.1))
    {'name': 'mahalanobis', 'shrinkage': 0.1}
    """
    kind = type(method)
    names = {type(each): name for name, each in reversed(EVERY.items())}  # the first name of a type
    known = [field for field in method_fields(kind) if field != "name" or not to_read]
    if "name" in known:
        raise DataError(
            f"{kind.__name__}: a field cannot be called 'name', which a saved method has for itself"
        )
    name = names.get(kind) or (
        kind.__name__ if to_read and not is_importable(kind) else path_of(kind)
    )
    return {
        "name": name,
        **{field: _as_json(kind, field, getattr(method, field), to_read) for field in known},
    }


def _as_json(kind: type, field: str, value: Any, to_read: bool) -> Any:
    """The value of a field as JSON has it."""
    if isinstance(value, tuple):
        return [_as_json(kind, field, each, to_read) for each in value]
    if is_method(value) and holds_methods(method_fields(kind)[field]):
        return to_json(value, to_read=to_read)
    try:
        json.dumps(value, default=plain, allow_nan=ours(kind))
    except (TypeError, ValueError, RecursionError) as error:
        if to_read:
            return shortened(value)
        raise DataError(
            f"{kind.__name__}: {field} must be a value that JSON can hold, or a method in a field "
            f"that is annotated so, got {shortened(value)}"
        ) from error
    return value


def from_json(spec: dict[str, Any], *, trust: Collection[str] = ()) -> Method:
    """The method that `to_json` wrote; DataError for fields unknown, of another type, or out of
    range.

    `trust` names the import paths of methods of other packages that may be imported; any other is
    a DataError.

    >>> from_json(to_json(DEFAULT)) == DEFAULT
    True
    """
    if others := untrusted(spec, trust):
        raise DataError(
            f"method {others[0]!r} is of another package, and importing it is not trusted"
        )
    method = _from_json(spec, 1)
    check_layers(method)
    return method


def _from_json(spec: object, depth: int) -> Method:
    check_depth(depth)
    name = spec.get("name") if isinstance(spec, dict) else None
    if (
        not isinstance(spec, dict)
        or not isinstance(name, str)
        or not (name in EVERY or is_path(name))
    ):
        raise DataError(
            f"unknown method {shortened(name)}: this release knows {', '.join(sorted(EVERY))}"
        )
    kind = type(EVERY[name]) if name in EVERY else imported(name)
    known, given = method_fields(kind), {key: value for key, value in spec.items() if key != "name"}
    if unknown := sorted(set(given) - set(known)):
        raise DataError(
            f"method {name!r} has no field {unknown[0]!r}: its fields are "
            f"{', '.join(sorted(known))}"
        )
    if missing := sorted(set(needed(kind)) - set(given)):
        raise DataError(f"method {name!r}: expected field {missing[0]!r}, found none")
    return created(
        kind, {field: _field(kind, field, value, depth) for field, value in given.items()}
    )


def _field(kind: type, name: str, value: object, depth: int) -> Any:
    """A field's value from JSON, checked before anything is made of it."""
    if not holds_methods(method_fields(kind)[name]):
        return check_field(kind, name, value)
    if value is None:
        check_inside(kind, name, None)
        return None
    several = isinstance(value, list)
    each = tuple(
        _from_json(spec, depth + 1) for spec in (value if isinstance(value, list) else [value])
    )
    built = each if several else each[0]
    check_inside(kind, name, built)
    return built
