"""Data and detectors that tests of several modules share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from unseen.methods.distances import Nearest
from unseen.methods.imagestack import ImageStack
from unseen.methods.patches import Patches
from unseen.methods.ratio import NearestRatio
from unseen.storage.manifest import canonical, digest
from unseen.types import Samples
from unseen.vision.features import Features
from unseen.vision.images import Images
from unseen.vision.maps import Maps

NAMES = ("normal", "bright", "dark", "odd")  # of classes 0, 1, ..., each a shift of another channel
BOTH = ImageStack((Patches(Nearest(k=1)), Patches(NearestRatio())))


def domains(shift=(0.0, 20.0, -30.0), rows=60, anomalies=6, axis=0, seed=0):
    """Normals in 6 dimensions around a point a domain, and anomalies 6 off along one axis."""
    g = torch.Generator().manual_seed(seed)
    parts = []
    for domain, offset in enumerate(shift):
        x = torch.randn(rows + anomalies, 6, generator=g)
        y = (torch.arange(len(x)) >= rows).long()
        x[rows:, axis] += 6.0
        parts.append((x + offset, y, torch.full((len(x),), domain)))
    return Samples.of(*(torch.cat(each) for each in zip(*parts, strict=True)))


def rewrite(folder, **changes):
    """Change the manifest and its hashes, as somebody would who means it."""
    file = folder / "bundle.json"
    plain = (
        json.loads(file.read_text())
        | {"tensors": digest((folder / "tensors.safetensors").read_bytes())}
        | changes
    )
    plain.pop("sha256")
    file.write_bytes(json.dumps(plain | {"sha256": digest(canonical(plain))}).encode())


def maps_of(data, features=None, labels=None):
    """Samples as if a backbone had seen files: 64 x 64 pixels each, in folders of their names."""
    n = len(data)
    labels = tuple(NAMES[k] for k in data.y.tolist()) if labels is None else labels
    images = Images(tuple(Path(f"{i}.png") for i in range(n)), labels, (None,) * n, Path())
    mask = torch.full((n, 6, 6), -1.0) if data.mask is None else data.mask
    sizes = np.full((n, 2), 64)
    return Maps(
        data.x.half().numpy(), mask.half().numpy(), sizes, images, features or Features(size=64)
    )
