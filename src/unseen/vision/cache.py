"""Maps of features on disk, one file an image, so that an image goes through a backbone once."""

from __future__ import annotations

import re
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from unseen.errors import DataError
from unseen.io.atomic import replace
from unseen.io.paths import regular, sweep

DIGEST = re.compile(r"[0-9a-f]{64}")
MOST = 1 << 30  # bytes of a file: a map of 300 channels at 1,000 x 1,000 cells takes 600 MB
LARGEST = torch.finfo(torch.float16).max


def key_of(content: bytes, features_text: str) -> str:
    """Name of a map: the digest of the image file's bytes and of a text that says how features are
    made of them.

    >>> key_of(b"an image", "lite0")[:8]
    'c0c81a9e'
    """
    return sha256(sha256(content).digest() + features_text.encode()).hexdigest()


def halved(features: Tensor) -> Tensor:
    """What is left of a map after half precision, as floats: score this, and a score is the same
    with a cache or none.

    >>> halved(torch.tensor([1.0, 0.1, 1e6]))
    tensor([1.0000e+00, 9.9976e-02, 6.5504e+04])
    """
    return features.clamp(-LARGEST, LARGEST).half().float()


class FeatureCache:
    """Maps of features in a folder, in half precision: 2 d h w bytes each, 0.24 MB for Lite0 at 224
    pixels.

    Nothing is ever removed: 10,000 images take 2.4 GB; the folder may be deleted at any time.
    Several processes may share it: a file appears whole or not at all, and one that does not hold
    what was put there is a miss.

    >>> import tempfile
    >>> cache = FeatureCache(tempfile.mkdtemp())
    >>> key = key_of(b"an image", "lite0")
    >>> cache.get(key) is None
    True
    >>> cache.put(key, torch.ones(1, 1, 2))
    >>> cache.get(key)
    tensor([[[1., 1.]]])
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        sweep(self.folder)

    def get(self, key: str) -> Tensor | None:
        """The map that was put under this key, as `halved` leaves it, or None: (d, h, w)."""
        with suppress(OSError, SafetensorError):
            return _kept_map(safetensors.torch.load(regular(self.path(key), most=MOST)))
        return None

    def put(self, key: str, features: Tensor) -> None:
        """Keep a map (d, h, w), in place of what is there."""
        kept = halved(features.detach().cpu()).half().contiguous()
        content = safetensors.torch.save({"map": kept, "digest": _map_digest(kept)})
        path = self.path(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace(path, content)
        except OSError as error:
            raise DataError(
                f"{self.folder}: features cannot be kept there ({error.strerror}); make room, or "
                "name another folder"
            ) from error

    def path(self, key: str) -> Path:
        if not DIGEST.fullmatch(key):
            raise DataError(
                f"key must be 64 hexadecimal digits, as key_of returns them, got {key!r}"
            )
        return self.folder / f"{key}.safetensors"


def _kept_map(kept: dict[str, Tensor]) -> Tensor | None:
    """The map in a file's tensors, if it is what `put` writes: three dimensions, half precision,
    finite, unchanged.
    """
    found = kept.get("map")
    if (
        kept.keys() != {"map", "digest"}
        or found is None
        or found.dtype != torch.float16
        or found.ndim != 3
    ):
        return None
    whole = torch.equal(kept["digest"], _map_digest(found)) and bool(found.isfinite().all())
    return found.float() if whole else None


def _map_digest(kept: Tensor) -> Tensor:
    """SHA-256 of a map's type, shape and bytes: (d, h, w) -> (32,) uint8."""
    found = sha256(f"{kept.dtype} {tuple(kept.shape)}".encode())
    found.update(kept.reshape(-1).view(torch.uint8).numpy().data)
    return torch.frombuffer(bytearray(found.digest()), dtype=torch.uint8)
