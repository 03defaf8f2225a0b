"""unseen: detects anomalies of kinds that nobody has labelled yet, and says how blind it still
is.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unseen._version import __version__

if TYPE_CHECKING:
    from unseen.data.schema import Schema
    from unseen.detector.conformal import Conformal
    from unseen.detector.detector import Detector
    from unseen.detector.policy import Policy
    from unseen.detector.separation import scorer
    from unseen.errors import (
        BundleError,
        DataError,
        FewNormals,
        NotFitted,
        UnseenError,
        Unsupported,
    )
    from unseen.evaluation.choices import Protocol
    from unseen.evaluation.protocol import evaluate
    from unseen.io.read import table as read_table
    from unseen.storage.bundle import Bundle
    from unseen.types import Episode, Method, Run, Samples
    from unseen.vision.features import Features
    from unseen.vision.images import Images
    from unseen.vision.maps import Maps

# Where each public name is: imported when it is used, as torch and scikit-learn take seconds.
_HOME = {
    "Bundle": "storage.bundle",
    "BundleError": "errors",
    "Conformal": "detector.conformal",
    "DataError": "errors",
    "Detector": "detector.detector",
    "Episode": "types",
    "Features": "vision.features",
    "FewNormals": "errors",
    "Images": "vision.images",
    "Maps": "vision.maps",
    "Method": "types",
    "NotFitted": "errors",
    "Policy": "detector.policy",
    "Protocol": "evaluation.choices",
    "Run": "types",
    "Samples": "types",
    "Schema": "data.schema",
    "UnseenError": "errors",
    "Unsupported": "errors",
    "evaluate": "evaluation.protocol",
    "read_table": "io.read",
    "scorer": "detector.separation",
}

__all__ = [
    "Bundle",
    "BundleError",
    "Conformal",
    "DataError",
    "Detector",
    "Episode",
    "Features",
    "FewNormals",
    "Images",
    "Maps",
    "Method",
    "NotFitted",
    "Policy",
    "Protocol",
    "Run",
    "Samples",
    "Schema",
    "UnseenError",
    "Unsupported",
    "__version__",
    "evaluate",
    "read_table",
    "scorer",
]


def __getattr__(name: str) -> Any:
    """A public name, or a method: `unseen.DevNet` is `unseen.methods.DevNet`."""
    if name in _HOME:
        own = {"read_table": "table"}.get(name, name)
        return getattr(import_module(f"unseen.{_HOME[name]}"), own)
    if name[:1].isupper() or name == "methods":
        methods = import_module("unseen.methods")
        if name == "methods":
            return methods
        if name in methods.__all__:
            return getattr(methods, name)
    raise AttributeError(f"module 'unseen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
