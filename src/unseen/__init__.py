"""unseen: detects anomalies of kinds that nobody has labelled yet, and says how blind it still is."""

__version__ = "0.1.0"  # stands first: a saved detector records it

from unseen.bundle import Bundle
from unseen.calibrate import Conformal
from unseen.data.read import table as read_table
from unseen.data.schema import Schema
from unseen.detector import Detector
from unseen.errors import BundleError, DataError, FewNormals, NotFitted, UnseenError, Unsupported
from unseen.methods import METHODS
from unseen.methods.ahl import AHL
from unseen.methods.autoencoder import AutoEncoder
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Mahalanobis, Nearest, NearestRatio
from unseen.methods.dplan import DPLAN
from unseen.methods.ensemble import Ensemble
from unseen.methods.evidence import EvidenceStack
from unseen.methods.forests import Forest, IsolationForest
from unseen.methods.logistic import Logistic
from unseen.methods.maml import MAML
from unseen.methods.metaocc import MetaOCC
from unseen.methods.multidirectional import MultiDirectional
from unseen.openset import Protocol, evaluate
from unseen.types import Adaptable, Episode, Method, Run, Samples, Trainable

__all__ = [
    "AHL",
    "DPLAN",
    "MAML",
    "METHODS",
    "Adaptable",
    "AutoEncoder",
    "Bundle",
    "BundleError",
    "Conformal",
    "DataError",
    "Detector",
    "DevNet",
    "Ensemble",
    "Episode",
    "EvidenceStack",
    "FewNormals",
    "Forest",
    "IsolationForest",
    "Logistic",
    "Mahalanobis",
    "MetaOCC",
    "Method",
    "MultiDirectional",
    "Nearest",
    "NearestRatio",
    "NotFitted",
    "Protocol",
    "Run",
    "Samples",
    "Schema",
    "Trainable",
    "UnseenError",
    "Unsupported",
    "__version__",
    "evaluate",
    "read_table",
]
