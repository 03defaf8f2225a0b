"""Methods: each a frozen dataclass that builds and trains a scorer. They are imported when they are
used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unseen.methods.aavae import AAVAE as AAVAE
    from unseen.methods.ahl import AHL as AHL
    from unseen.methods.autoencoder import AutoEncoder as AutoEncoder
    from unseen.methods.catalogue import DEFAULT as DEFAULT
    from unseen.methods.catalogue import EVERY as EVERY
    from unseen.methods.catalogue import IMAGE_DEFAULT as IMAGE_DEFAULT
    from unseen.methods.catalogue import IMAGES as IMAGES
    from unseen.methods.catalogue import METHODS as METHODS
    from unseen.methods.clflow import CLFlow as CLFlow
    from unseen.methods.comet import CoMet as CoMet
    from unseen.methods.con2 import Con2 as Con2
    from unseen.methods.continuous import ContinuousLabels as ContinuousLabels
    from unseen.methods.csad import CSAD as CSAD
    from unseen.methods.dcc import DCC as DCC
    from unseen.methods.deepsad import DeepSAD as DeepSAD
    from unseen.methods.deepsad import DeepSVDD as DeepSVDD
    from unseen.methods.devnet import DevNet as DevNet
    from unseen.methods.distances import Mahalanobis as Mahalanobis
    from unseen.methods.distances import Nearest as Nearest
    from unseen.methods.dmad import DMAD as DMAD
    from unseen.methods.dplan import DPLAN as DPLAN
    from unseen.methods.duq import DUQ as DUQ
    from unseen.methods.ensemble import Ensemble as Ensemble
    from unseen.methods.evidence import EvidenceStack as EvidenceStack
    from unseen.methods.fecam import FeCAM as FeCAM
    from unseen.methods.flos import FLOS as FLOS
    from unseen.methods.flow import FlowDensity as FlowDensity
    from unseen.methods.flowratio import FlowRatio as FlowRatio
    from unseen.methods.forest import Forest as Forest
    from unseen.methods.imagestack import ImageStack as ImageStack
    from unseen.methods.isolation import IsolationForest as IsolationForest
    from unseen.methods.kka import KKA as KKA
    from unseen.methods.lisae import LISAE as LISAE
    from unseen.methods.logistic import Logistic as Logistic
    from unseen.methods.maml import MAML as MAML
    from unseen.methods.metaocc import MetaOCC as MetaOCC
    from unseen.methods.multidirectional import MultiDirectional as MultiDirectional
    from unseen.methods.multidirectional_literal import (
        MultiDirectionalLiteral as MultiDirectionalLiteral,
    )
    from unseen.methods.patches import Patches as Patches
    from unseen.methods.prenet import PReNet as PReNet
    from unseen.methods.prn import PRN as PRN
    from unseen.methods.ratio import NearestRatio as NearestRatio
    from unseen.methods.resad import ResAD as ResAD
    from unseen.methods.resad import ResADPlusPlus as ResADPlusPlus
    from unseen.methods.saliencycut import SaliencyCut as SaliencyCut
    from unseen.methods.simplenet import SimpleNet as SimpleNet
    from unseen.methods.ssae import SSAE as SSAE
    from unseen.methods.topk import TopK as TopK
    from unseen.methods.whole import Whole as Whole

_HOME = {
    "AAVAE": "aavae",
    "AHL": "ahl",
    "AutoEncoder": "autoencoder",
    "CLFlow": "clflow",
    "CSAD": "csad",
    "CoMet": "comet",
    "Con2": "con2",
    "ContinuousLabels": "continuous",
    "DCC": "dcc",
    "DEFAULT": "catalogue",
    "DMAD": "dmad",
    "DPLAN": "dplan",
    "DUQ": "duq",
    "DeepSAD": "deepsad",
    "DeepSVDD": "deepsad",
    "DevNet": "devnet",
    "EVERY": "catalogue",
    "Ensemble": "ensemble",
    "EvidenceStack": "evidence",
    "FLOS": "flos",
    "FeCAM": "fecam",
    "FlowDensity": "flow",
    "FlowRatio": "flowratio",
    "Forest": "forest",
    "IMAGES": "catalogue",
    "IMAGE_DEFAULT": "catalogue",
    "ImageStack": "imagestack",
    "IsolationForest": "isolation",
    "KKA": "kka",
    "LISAE": "lisae",
    "Logistic": "logistic",
    "MAML": "maml",
    "METHODS": "catalogue",
    "Mahalanobis": "distances",
    "MetaOCC": "metaocc",
    "MultiDirectional": "multidirectional",
    "MultiDirectionalLiteral": "multidirectional_literal",
    "Nearest": "distances",
    "NearestRatio": "ratio",
    "PRN": "prn",
    "PReNet": "prenet",
    "Patches": "patches",
    "ResAD": "resad",
    "ResADPlusPlus": "resad",
    "SSAE": "ssae",
    "SaliencyCut": "saliencycut",
    "SimpleNet": "simplenet",
    "TopK": "topk",
    "Whole": "whole",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'unseen.methods' has no attribute {name!r}")
    return getattr(import_module(f"unseen.methods.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
