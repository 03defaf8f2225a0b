"""Photos as another setting of the camera and another program would have left them: nobody would
call them defective.

Training sees each image once more like this, so that a method does not take the traces of a program
for a defect."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from unseen.errors import Unsupported

# counted up when the same file gives another picture than before: maps kept on disk are then made
# anew
FORMULA = 1
LIGHT = 0.1  # largest change of the light
RADIUS = 1.0  # pixels of the widest blur
QUALITY = (50, 96)  # lowest and, exclusive, highest quality of a JPEG or WebP file

Pixels = NDArray[np.uint8]


def resaved(pixels: Pixels, content: bytes) -> Pixels:
    """A picture in other light, and blurred a little or saved as JPEG or WebP; which of it, the
    file's bytes decide.

    (h, w, 3) -> (h, w, 3)

    >>> pixels = np.full((64, 48, 3), 128, dtype=np.uint8)
    >>> once, again = (resaved(pixels, b"a file") for _ in range(2))
    >>> once.shape, bool((once == again).all()), bool((once == pixels).all())
    ((64, 48, 3), True, False)
    """
    try:
        from PIL import Image, ImageFilter
    except ImportError as error:
        raise Unsupported('reading images needs Pillow: pip install "unseen[images]"') from error
    rng = np.random.default_rng([*sha256(content).digest()])
    lit = np.rint(pixels * rng.uniform(1 - LIGHT, 1 + LIGHT)).clip(0, 255).astype(np.uint8)
    radius, quality, kind = (
        rng.uniform(0, RADIUS),
        int(rng.integers(*QUALITY)),
        rng.choice(["", "JPEG", "WEBP"]),
    )
    picture = Image.fromarray(lit)
    if not kind:
        return np.array(picture.filter(ImageFilter.GaussianBlur(radius)))
    file = BytesIO()
    picture.save(file, kind, quality=quality)
    with Image.open(file, formats=[kind]) as found:
        return np.array(found.convert("RGB"))
