"""unseen: detects anomalies of kinds that nobody has labelled yet, and says how blind it still is."""

__version__ = "0.1.0"  # stands first: a saved detector records it

from unseen.data.schema import Schema
from unseen.detector.conformal import Conformal
from unseen.detector.detector import Detector, scorer
from unseen.errors import BundleError, DataError, FewNormals, NotFitted, UnseenError, Unsupported
from unseen.evaluation.protocol import Protocol, evaluate
from unseen.io.read import table as read_table
from unseen.methods import METHODS
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
from unseen.methods.patches import Patches
from unseen.methods.prenet import PReNet
from unseen.methods.prn import PRN
from unseen.methods.ratio import NearestRatio
from unseen.methods.resad import ResAD, ResADPlusPlus
from unseen.methods.saliencycut import SaliencyCut
from unseen.methods.simplenet import SimpleNet
from unseen.methods.ssae import SSAE
from unseen.methods.whole import Whole
from unseen.storage.bundle import Bundle
from unseen.types import Adaptable, Episode, Method, Run, Samples, Trainable, Updatable
from unseen.vision.encoder import Maps
from unseen.vision.features import Features
from unseen.vision.images import Images

__all__ = [
    "AAVAE",
    "AHL",
    "CSAD",
    "DCC",
    "DMAD",
    "DPLAN",
    "DUQ",
    "FLOS",
    "KKA",
    "LISAE",
    "MAML",
    "METHODS",
    "PRN",
    "SSAE",
    "Adaptable",
    "AutoEncoder",
    "Bundle",
    "BundleError",
    "CLFlow",
    "CoMet",
    "Con2",
    "Conformal",
    "ContinuousLabels",
    "DataError",
    "DeepSAD",
    "DeepSVDD",
    "Detector",
    "DevNet",
    "Ensemble",
    "Episode",
    "EvidenceStack",
    "FeCAM",
    "Features",
    "FewNormals",
    "FlowDensity",
    "FlowRatio",
    "Forest",
    "ImageStack",
    "Images",
    "IsolationForest",
    "Logistic",
    "Mahalanobis",
    "Maps",
    "MetaOCC",
    "Method",
    "MultiDirectional",
    "Nearest",
    "NearestRatio",
    "NotFitted",
    "PReNet",
    "Patches",
    "Protocol",
    "ResAD",
    "ResADPlusPlus",
    "Run",
    "SaliencyCut",
    "Samples",
    "Schema",
    "SimpleNet",
    "Trainable",
    "UnseenError",
    "Unsupported",
    "Updatable",
    "Whole",
    "__version__",
    "evaluate",
    "read_table",
    "scorer",
]
