"""The methods that `bench.images` compares, in each of its parts."""

from __future__ import annotations

from bench.domains import WithoutResidual
from unseen.methods import IMAGE_DEFAULT, IMAGES, METHODS
from unseen.methods.catalogue import for_images
from unseen.methods.comet import CoMet
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.patches import Patches
from unseen.methods.resad import ResAD
from unseen.methods.simplenet import SimpleNet
from unseen.methods.topk import TopK
from unseen.methods.whole import Whole
from unseen.types import Method

BASELINE = "patchcore"  # nearest neighbours of patches
OPEN: dict[str, Method] = {
    "image-stack": IMAGE_DEFAULT,
    BASELINE: IMAGES[BASELINE],
    "patches": IMAGES["patches"],
    "whole": IMAGES["whole"],
    "whole, nearest": Whole(Nearest(whiten=True, shrinkage=0.1)),
    "patches, ratio": for_images(METHODS["nearest-ratio"]),
    "topk": TopK(),
    "patches, devnet": for_images(METHODS["devnet"]),
    "patches, simplenet": Patches(SimpleNet()),
    "patches, resad": Patches(ResAD()),
}
ONE = {name: OPEN[name] for name in ("image-stack", BASELINE, "patches", "whole, nearest")}
MOVED: dict[str, Method] = {
    "image-stack": IMAGE_DEFAULT,
    "patches, resad": Patches(ResAD()),
    "patches, resad, no residual": Patches(WithoutResidual(ResAD())),
    "patches": IMAGES["patches"],
    "whole, nearest": Whole(Nearest(whiten=True, shrinkage=0.1)),
}
ALONE: dict[str, Method] = {
    "patches, alone": Patches(Nearest(k=1)),
    "whole, alone": Whole(Nearest(k=1)),
    "whole mahalanobis, alone": Whole(Mahalanobis(shrinkage=0.1)),
}
HIDDEN: dict[str, Method] = {
    "simplenet": Patches(SimpleNet()),
    "simplenet, trimmed": Patches(SimpleNet()),
    "comet(simplenet)": Patches(CoMet(SimpleNet())),
}
