"""unseen: detects anomalies of kinds that nobody has labelled yet, and says how blind it still is."""

__version__ = "0.1.0"  # stands first: a saved detector records it

from unseen.bundle import Bundle
from unseen.calibrate import Conformal
from unseen.data.read import table as read_table
from unseen.data.schema import Schema
from unseen.detector import Detector
from unseen.errors import BundleError, DataError, FewNormals, NotFitted, UnseenError, Unsupported
from unseen.methods import METHODS
from unseen.methods.autoencoder import AutoEncoder
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Mahalanobis, Nearest, NearestRatio
from unseen.methods.evidence import EvidenceStack
from unseen.methods.forests import Forest, IsolationForest
from unseen.methods.logistic import Logistic
from unseen.methods.multidirectional import MultiDirectional
from unseen.methods.resad import ResAD, ResADPlusPlus
from unseen.openset import Protocol, evaluate
from unseen.types import Adaptable, Episode, Method, Run, Samples, Trainable

__all__ = [
    "METHODS",
    "Adaptable",
    "AutoEncoder",
    "Bundle",
    "BundleError",
    "Conformal",
    "DataError",
    "Detector",
    "DevNet",
    "Episode",
    "EvidenceStack",
    "FewNormals",
    "Forest",
    "IsolationForest",
    "Logistic",
    "Mahalanobis",
    "Method",
    "MultiDirectional",
    "Nearest",
    "NearestRatio",
    "NotFitted",
    "Protocol",
    "ResAD",
    "ResADPlusPlus",
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
