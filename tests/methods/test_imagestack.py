"""Methods for images: rows of cells and of whole images by hand, the contract that all keep, and
the stack of them.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from quick import quick
from toys import BOTH, maps_of
from unseen.detector.detector import Detector
from unseen.errors import DataError
from unseen.fields import check_fields
from unseen.methods import EVERY, IMAGES, METHODS
from unseen.methods.catalogue import for_images, from_json, to_json
from unseen.methods.comet import CoMet
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.forest import Forest
from unseen.methods.imagestack import ImageStack
from unseen.methods.multidirectional import MultiDirectional
from unseen.methods.patches import Patches
from unseen.methods.ratio import NearestRatio
from unseen.methods.resad import ResAD
from unseen.methods.simplenet import SimpleNet
from unseen.methods.topk import TopK
from unseen.methods.whole import Whole
from unseen.parts.cells import Places, cells, highest, rings
from unseen.parts.episodes import together
from unseen.parts.ranking import auroc
from unseen.testing import check_method, scored, toy_maps, trained
from unseen.types import Run, Samples, ability


def run(seed=3):
    return Run(torch.Generator().manual_seed(seed))


def unmasked(data):
    return replace(data, mask=None)


@dataclass(frozen=True)
class Column:
    """A method for rows that learns nothing: the score is a column. Its scorer keeps what it was
    given.
    """

    column: int = 0
    uses_labels: bool = False

    def build(self, shape):
        return Kept(self.column)

    def train(self, scorer, data, run):
        scorer.given.append(data)
        scorer.run = run


class Kept(nn.Module):
    def __init__(self, column):
        super().__init__()
        self.column, self.given = column, []

    def forward(self, x):
        return x[:, self.column]


def image(*rows):
    """One image of one channel."""
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def flat(*values):
    """Images of one channel, each of one value all over."""
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2).clone()


# masks of samples


def test_masks_go_where_their_images_go():
    data = toy_maps(2, 2)
    assert torch.equal(data[torch.tensor([3, 0])].mask, data.mask[[3, 0]])
    assert torch.equal(data.anomalies.mask, data.mask[2:])
    assert torch.equal(together(data.anomalies, data.normals).mask, data.mask[[2, 3, 0, 1]])
    assert data.to(torch.device("meta")).mask.device.type == "meta"
    assert data.to(torch.device("meta")).mask.shape == (4, 6, 6)


def test_of_samples_with_and_without_masks_none_has_one():
    data = toy_maps(2, 2)
    assert together(data, unmasked(data)).mask is None
    assert unmasked(data)[1:].mask is None
    assert unmasked(data).to(torch.device("meta")).mask is None


@pytest.mark.parametrize("shape", [(4, 6, 5), (3, 6, 6), (4, 3, 6, 6), (4,)])
def test_a_mask_has_a_value_for_each_cell(shape):
    with pytest.raises(
        DataError, match=r"mask must have a value for each cell of x \(4, 3, 6, 6\), got shape"
    ):
        Samples.of(toy_maps(2, 2).x, mask=torch.zeros(shape))


# whole images


def test_rows_of_whole_images_by_hand():
    # Mean and spread are 2, 1 and 5, 0: in units of these two, 6 and 2 are (6 - 3.5) / 1.5 and (2 -
    # 0.5) / 0.5.
    x = torch.cat([image([1, 3]), image([5, 5]), image([400, 900])])
    data = Samples.of(x, torch.tensor([0, -1, 2]), mask=torch.zeros(3, 1, 2))
    for column, expected in enumerate([2.5 / 1.5, 3.0]):
        scorer = trained(Whole(Column(column)), data)
        assert scored(scorer, image([4, 8])).tolist() == pytest.approx([expected])
    [given] = scorer.inner.given
    assert given.x.shape == (3, 2)
    assert given.x[:2].tolist() == [[-1, 1], [1, -1]]
    assert given.y.tolist() == [0, -1, 2]
    assert given.mask is None


def test_logarithms_are_of_tables():
    for method in (Whole(Column()), Patches(Column())):
        scorer = method.build((3, 6, 6))
        method.train(scorer, toy_maps(), replace(run(), logarithms=torch.zeros(3, 2)))
        assert scorer.inner.run.logarithms is None


@pytest.mark.parametrize("kind", [Whole, Patches])
def test_what_the_base_can_do_both_can(kind):
    for base in METHODS.values():
        assert (ability(kind(base), "adapt") is None) == (ability(base, "adapt") is None)
        assert kind(base).uses_labels == base.uses_labels
    assert ability(kind(Forest()), "adapt") is None
    assert ability(kind(Nearest()), "adapt") is not None


@pytest.mark.parametrize("kind", [Whole, Patches])
@pytest.mark.parametrize("base", [Nearest(), NearestRatio()], ids=["without", "with"])
def test_labels_change_the_scores_if_the_base_learns_from_them(kind, base):
    data = toy_maps()
    without = scored(trained(kind(base), data.normals), data.x)
    assert torch.equal(scored(trained(kind(base), data), data.x), without) != base.uses_labels


def test_where_something_is_does_not_matter_to_whole_images():
    scorer, x = trained(Whole(Nearest()), toy_maps()), toy_maps(seed=1).x
    moved = x.flatten(2)[:, :, torch.randperm(36, generator=run().generator)].view_as(x)
    torch.testing.assert_close(scored(scorer, moved), scored(scorer, x))


# patches


SIXTEEN = torch.arange(16.0).view(1, 1, 4, 4)


@pytest.mark.parametrize(
    ("column", "stride", "top", "expected"),
    [
        (0, 1, 0.25, 13.5),  # of 12, 13, 14, 15
        (0, 1, 0.01, 15.0),  # one cell at least
        (0, 1, 1.0, 7.5),
        (1, 1, 0.25, 6.0),  # less the image's mean
        (0, 2, 0.25, 12.5),  # the highest of the means 2.5, 4.5, 10.5, 12.5
        (1, 2, 0.5, 4.0),  # 10.5 and 12.5, less 7.5
    ],
)
def test_an_image_scores_as_the_mean_of_its_highest_cells(column, stride, top, expected):
    scorer = Patches(Column(column), stride=stride, top=(top,)).build((1, 4, 4))
    assert scored(scorer, SIXTEEN).tolist() == [expected]


def test_an_image_is_pooled_in_several_ways_and_scores_as_their_mean():
    scorer = Patches(Column(), stride=1, top=(0.0, 0.25, 1.0)).build((1, 4, 4))
    with torch.no_grad():
        assert scorer.pooled(SIXTEEN).tolist() == [[15.0], [13.5], [7.5]]
    assert scored(scorer, SIXTEEN).tolist() == [12.0]
    assert Patches(Column(), top=(0.0, 0.25, 1.0)).pools == [
        "highest cell",
        "highest 25%",
        "highest 100%",
    ]
    assert Patches(Column(), top=(0.25,)).pools == [""]
    assert Patches(Column(), top=(0.004, 0.001)).pools == ["highest 0.4%", "highest 0.1%"]


@torch.no_grad()
def test_the_map_has_a_score_for_each_cell_in_its_place():
    scorer = Patches(Column(), stride=2).build((1, 3, 3))
    x = torch.cat([torch.arange(9.0).view(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)])
    # At the edge, means of what there is: 0, 1, 3, 4; 2, 5; 6, 7; 8.
    assert scorer.map(x).tolist() == [[[2.0, 3.5], [6.5, 8.0]], [[0, 0], [0, 0]]]
    assert Patches(Nearest(), stride=3).build((3, 6, 6)).map(torch.zeros(5, 3, 6, 6)).shape == (
        5,
        2,
        2,
    )


def test_a_row_is_a_cell_and_how_it_differs_from_its_image():
    # Cells of normals are 0, 4, 2, 2: mean 2, spread sqrt 2; less their images' means -2, 2, 0, 0:
    # spread sqrt 2.
    data = Samples.of(torch.cat([image([0, 4]), image([2, 2])]))
    [given] = trained(Patches(Column(), stride=1), data).inner.given
    rows = (given.x * 2**0.5)[given.x[:, 0].argsort()]
    torch.testing.assert_close(rows, torch.tensor([[-2.0, -2], [0, 0], [0, 0], [2, 2]]))


@pytest.mark.parametrize(
    ("stride", "cells", "expected"),
    [(1, 10_000, 360), (2, 10_000, 90), (3, 10_000, 40), (2, 50, 50)],
)
def test_stride_and_cells_say_how_many_rows_train(stride, cells, expected):
    [given] = trained(Patches(Column(), stride=stride, cells=cells), toy_maps(10, 4)).inner.given
    assert given.x.shape == (expected, 6)
    assert len(given.x.unique(dim=0)) == expected  # drawn, none twice
    assert given.mask is None


def test_cells_have_the_kind_the_label_and_the_weight_of_their_image():
    x, weight = flat(0.0, 1, 2, 3), torch.tensor([0.1, 0.2, 0.3, 0.4])
    data = Samples(x, torch.tensor([0, -1, 0, 5]), torch.tensor([7, 8, 9, 6]), weight)
    scorer = trained(Patches(Column(uses_labels=True), top=(1.0,), stride=1), data)
    given = scorer.inner.given[-1]
    value = given.x[:, 0] * scorer.scaling.sd[0] + scorer.scaling.mean[0]
    order = value.argsort(stable=True)
    assert value[order].tolist() == pytest.approx([0] * 4 + [1] * 4 + [2] * 4 + [3] * 4, abs=1e-6)
    assert given.y[order].tolist() == [0] * 4 + [-1] * 4 + [0] * 4 + [5] * 4
    assert given.group[order].tolist() == [7] * 4 + [8] * 4 + [9] * 4 + [6] * 4
    assert torch.equal(given.weight[order], weight.repeat_interleave(4))


# Normals 0 and 2 make units of 1 around 1, and in context of 1 around 0.
def defective(method, anomaly, mask=None):
    """What the base is given of one labelled image, turn by turn: the first columns of its rows."""
    size = anomaly.shape[2]
    normals = torch.tensor([0.0, 2.0])[:, None, None, None].expand(2, 1, size, size)
    masks = (
        None
        if mask is None
        else torch.cat([torch.full((2, size, size), -1.0), torch.tensor(mask)[None]])
    )
    data = Samples.of(torch.cat([normals, anomaly]), torch.tensor([0, 0, 1]), mask=masks)
    given = trained(method, data).inner.given
    assert all(len(each.normals) == 2 * (size // method.stride) ** 2 for each in given)
    return [each.anomalies.x[:, 0].tolist() for each in given]


FOUR = image([1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4])  # in units: 0, 1, 2, 3


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        # covered by 1/2, 1/4, all, nothing
        ([[1.0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]], [0, 2]),
        ([[0.0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], [1]),  # by 1/4 at most
        ([[0.0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0.8], [0, 0, 0, 0.2]], [1, 3]),
        ([[0.0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0.8], [0, 0, 0, 0.1]], [1]),
    ],
)
def test_masks_say_which_cells_are_the_defect(mask, expected):
    assert defective(Patches(Column(uses_labels=True), stride=2), FOUR, mask) == [expected]


def test_without_a_mask_the_furthest_cells_are_the_defect_then_those_that_the_base_scores_highest():
    # In units -8, 4, 0, 0, in context -7, 5, 1, 1: the first is furthest from the normals, the
    # second scores highest.
    anomaly = image([-7, 5], [1, 1])
    assert defective(Patches(Column(uses_labels=True), stride=1), anomaly) == [[-8], [4]]
    assert defective(Patches(Column(uses_labels=True), stride=1, top=(0.0, 0.5)), anomaly)[0] == [
        -8,
        4,
    ]
    nothing_marked, unsaid = torch.zeros(2, 2).tolist(), torch.full((2, 2), -1.0).tolist()
    for mask in (nothing_marked, unsaid):
        assert defective(Patches(Column(uses_labels=True), stride=1), anomaly, mask) == [[-8], [4]]


def test_images_with_and_without_a_mask_teach_together():
    data = toy_maps(4, 2)
    mask = data.mask.clone()
    mask[4] = -1.0
    first, second = trained(Patches(Column(uses_labels=True)), replace(data, mask=mask)).inner.given
    for given in (first, second):
        assert given.anomalies.y.tolist() == [2, 1]  # what is known, then what is guessed
    assert torch.equal(first.x[:-1], second.x[:-1])


@pytest.mark.parametrize(
    "base", [DevNet(), NearestRatio(), Forest()], ids=["devnet", "nearest-ratio", "forest"]
)
@pytest.mark.parametrize("masks", [True, False], ids=["masks", "none"])
def test_a_defect_is_found_where_it_is(base, masks):
    data = toy_maps(anomalies=12)
    scorer = trained(Patches(quick(base)), data if masks else unmasked(data))
    new = toy_maps(normals=20, anomalies=20, seed=1)
    assert auroc(*(scored(scorer, part.x) for part in (new.normals, new.anomalies))) > 0.95
    assert np.mean(hit(scorer, new.anomalies)) > 0.9


@torch.no_grad()
def hit(scorer, defects):
    """Whether the hottest place of each image lies in its defect: (n,)."""
    hottest = scorer.map(defects.x).flatten(1).argmax(dim=1)
    side = scorer.map(defects.x).shape[2]
    cells = nn.functional.adaptive_max_pool2d(defects.mask, side).flatten(1)
    return cells.gather(1, hottest[:, None])[:, 0].bool().tolist()


def test_methods_for_rows_are_put_on_patches_and_others_left_alone():
    assert for_images(Mahalanobis()) == Patches(Mahalanobis())
    assert for_images(CoMet(SimpleNet())) == Patches(CoMet(SimpleNet()))
    for method in IMAGES.values():
        assert for_images(method) is method


# the contract


def small(method):
    """As `quick`, members of a stack likewise."""
    if isinstance(method, ImageStack):
        return replace(method, members=tuple(small(member) for member in method.members))
    if isinstance(method, MultiDirectional):
        return replace(method, folds=2)
    changed = replace(quick(method), rate=1e-2) if isinstance(method, TopK) else quick(method)
    return (
        replace(changed, base=small(method.base))
        if isinstance(method, Whole | Patches)
        else changed
    )


KEEPING = {name: small(method) for name, method in IMAGES.items()} | {
    f"patches of {name}": Patches(quick(base))
    for name, base in {
        "devnet": DevNet(),
        "a coreset": Nearest(k=1, bank=40, coreset=True),
        "resad": ResAD(),
        "comet of simplenet": CoMet(SimpleNet()),
        "mahalanobis": Mahalanobis(),
        "forest": Forest(),
    }.items()
}
each_keeping = pytest.mark.parametrize("method", list(KEEPING.values()), ids=list(KEEPING))


@each_keeping
def test_contract(method):
    check_method(method)


@each_keeping
def test_a_score_does_not_depend_on_the_images_beside_it(method):
    maps = maps_of(toy_maps())
    detector = Detector(method, calibration=0.25, random_state=0).fit(maps)
    scores = detector.anomaly_score(maps)
    back = np.arange(len(maps))[::-1]
    assert np.array_equal(detector.anomaly_score(maps.take(back)), scores[back])
    for row in (0, 13, 39):
        assert detector.anomaly_score(maps.take(np.array([row]))) == scores[row]


ABLE = {name: method for name, method in KEEPING.items() if ability(method, "adapt") is not None}


def test_these_adapt():
    expected = {"image-stack", "whole", "patches", "patchcore"}
    assert set(ABLE) == expected | {
        f"patches of {name}" for name in ("a coreset", "resad", "mahalanobis")
    }


@pytest.mark.parametrize("method", list(ABLE.values()), ids=list(ABLE))
def test_adapting_leaves_the_old_scorer_as_it_is(method):
    data, new = toy_maps(), toy_maps(seed=1, anomalies=0)
    scorer = trained(method, data)
    before, state = scored(scorer, data.x), {k: v.clone() for k, v in scorer.state_dict().items()}
    moved = method.adapt(scorer, Samples.of(new.x[:12] + 3), run()).eval()
    assert torch.equal(scored(scorer, data.x), before)
    assert all(torch.equal(v, state[k]) for k, v in scorer.state_dict().items())
    assert scored(moved, new.x[12:] + 3).median() < scored(moved, new.x[12:] - 3).median()
    again = method.build((3, 6, 6))
    again.load_state_dict(moved.state_dict())
    assert torch.equal(scored(again.eval(), data.x), scored(moved, data.x))
    twice = method.adapt(moved, Samples.of(new.x[:12] - 3), run())
    assert scored(twice, new.x[12:] + 3).median() > scored(twice, new.x[12:] - 3).median()
    copy.deepcopy(moved)  # as what learns on does


# names


def test_names_stand_for_the_fields_that_are_written_beside_them():
    for name, method in IMAGES.items():
        assert from_json(to_json(method)) == method
        assert type(from_json({**to_json(method), "name": name})) is type(method)
    assert to_json(Patches(Forest()))["name"] == "patches"  # of several names of a type the first
    assert to_json(Patches(Forest()))["base"] == to_json(Forest())
    assert from_json({"name": "patchcore", "base": {"name": "forest"}}) == Patches(Forest())
    assert from_json({"name": "topk", "share": 0.2}) == TopK(share=0.2)


def test_no_name_means_two_methods():
    assert not set(METHODS) & set(IMAGES)
    assert len(EVERY) == len(METHODS) + len(IMAGES)


def test_patchcore_keeps_what_is_rare():
    base = IMAGES["patchcore"].base
    x = torch.cat([0.1 * toy_maps(30, 0).x, torch.full((1, 3, 6, 6), 9.0)])
    scorer = trained(Patches(replace(base, bank=8)), Samples.of(x))
    assert scored(scorer, x[-1:]) < scored(
        trained(Patches(replace(base, bank=8, coreset=False)), Samples.of(x)), x[-1:]
    )


# the stack


@dataclass(frozen=True)
class Level:
    """A method for images: the score is how far an image's mean is from that of the normals. It can
    adapt.
    """

    uses_labels: bool = False

    def build(self, shape):
        return Distance()

    def train(self, scorer, data, run):
        scorer.reference = data.normals.x.mean()

    def adapt(self, scorer, support, run):
        moved = Distance()
        self.train(moved, support, run)
        return moved


@dataclass(frozen=True)
class Stiff(Level):
    """Cannot adapt."""

    @property
    def adapt(self):
        raise AttributeError


class Distance(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("reference", torch.tensor(0.0))

    def forward(self, x):
        return (x.mean(dim=(1, 2, 3)) - self.reference).abs()


def test_weights_sum_to_one_and_a_useless_member_has_little():
    # the third channel is normal
    stack = ImageStack((Patches(Nearest()), Whole(Column(2)), Patches(NearestRatio())))
    weights = trained(stack, toy_maps()).weights
    assert weights.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert weights[3] < 0.05
    assert weights[:3].sum() > 0.2


@pytest.mark.parametrize(
    "base", [NearestRatio(), DevNet(), Forest()], ids=["nearest-ratio", "devnet", "forest"]
)
def test_without_labels_what_learns_from_them_has_no_say(base):
    stack = ImageStack((Whole(Nearest()), Patches(quick(base)), Patches(Mahalanobis())))
    data = toy_maps(anomalies=0)
    scorer = trained(stack, data)
    # each member alike, and each way of pooling within it
    assert scorer.weights.tolist() == pytest.approx([1 / 2, 0, 0, 0, 1 / 6, 1 / 6, 1 / 6])
    with torch.no_grad():
        maps = scorer.map(data.x)
    assert torch.isfinite(maps).all()
    assert maps.amax() > 1
    assert np.mean(hit(scorer, toy_maps(seed=1).anomalies)) == 1


def test_the_default_learns_from_good_images_alone():
    data, new = toy_maps(anomalies=0), toy_maps(seed=1)
    score = scored(trained(IMAGES["image-stack"], data), new.x)
    assert auroc(score[new.y == 0], score[new.y > 0]) > 0.95


def test_a_stack_says_what_it_needs():
    with pytest.raises(DataError, match="given 2, and needs at least 3"):
        trained(BOTH, toy_maps()[30:])
    assert torch.isfinite(scored(trained(BOTH, toy_maps()[29:33]), toy_maps().x)).all()  # 3 and 1


def test_the_heat_is_highest_on_the_defect_also_of_a_class_that_was_never_shown():
    scorer = trained(BOTH, toy_maps(anomalies=12))
    new = toy_maps(normals=0, anomalies=30, seed=1, classes=(1, 2, 3))
    found = np.array(hit(scorer, new))
    assert found[new.y.numpy() < 3].mean() > 0.9
    assert found[new.y.numpy() == 3].mean() > 0.9


@torch.no_grad()
def test_the_heat_is_the_sum_of_surprises_by_the_weights_of_members_with_a_map():
    scorer = trained(
        ImageStack((Whole(Nearest()), Patches(Mahalanobis()), Patches(Nearest(), stride=3))),
        toy_maps(),
    )
    x = toy_maps(seed=1).x[:4]
    weights = scorer.weights[1:].view(2, 3).sum(dim=1) / scorer.weights[1:].sum()
    fine, coarse = scorer.base.members[1].map(x), scorer.base.members[2].map(x)
    coarse = nn.functional.interpolate(coarse[:, None], (3, 3), mode="bilinear")[:, 0]
    surprisal = scorer.base.cell_surprisal(torch.stack([fine.flatten(), coarse.flatten()]))
    torch.testing.assert_close(scorer.map(x).flatten(), weights @ surprisal)


def test_a_stack_of_whole_images_has_no_map():
    stack = ImageStack((Whole(Nearest()), Whole(Mahalanobis())))
    assert ability(trained(stack, toy_maps()), "map") is None
    assert ability(BOTH.build((3, 6, 6)), "map") is not None


def test_the_shift_of_a_new_product_by_hand():
    # Each old image by the mean of the others: 4, 2.75, 1.5, 0.25 and 8.5, the median 2.75. New
    # ones: 4.5, 1.5 and 6.
    stack, support = ImageStack((Level(),)), Samples.of(flat(10.0, 12, 17))
    scorer = trained(stack, Samples.of(flat(0.0, 1, 2, 3, 10)))
    assert scorer.surprisal.normals.tolist() == [[0.25, 1.5, 2.75, 4, 8.5]]
    moved = stack.adapt(scorer, support, run())
    assert moved.base.members[0].reference == 13
    assert moved.base.shift.tolist() == [2.75 - 4]
    assert moved.weights.tolist() == [1]
    # 4 from 13, as far as 2.75 from 3.2
    new, old = (scored(moved, flat(17.0)), scored(scorer, flat(3.2 + 2.75)))
    assert new.item() == pytest.approx(old.item(), rel=1e-5)
    assert scorer.base.shift.tolist() == [0]


def test_labelled_defects_do_not_shift():
    stack = ImageStack((Level(),))
    scorer = trained(stack, Samples.of(flat(0.0, 1, 2, 3, 10)))
    support = Samples.of(flat(99.0, 10, 12, 17, 50), torch.tensor([1, 0, -1, 0, 2]))
    moved = stack.adapt(scorer, support, run())
    assert moved.base.shift.tolist() == [-1.25]
    assert moved.base.members[0].reference == 13


def test_a_single_image_of_a_new_product_is_enough():
    stack = ImageStack((Level(), Stiff()))
    scorer = trained(stack, Samples.of(flat(0.0, 1, 2, 3, 10)))
    moved = stack.adapt(scorer, Samples.of(flat(50.0)), run())
    assert moved.base.members[0].reference == 50
    assert moved.base.shift.tolist() == [0, 0]
    assert moved.weights.tolist() == [1, 0]
    found = scored(
        BOTH.adapt(trained(BOTH, toy_maps()), Samples.of(toy_maps().x[:1] + 20), run()),
        toy_maps().x + 20,
    )
    assert torch.isfinite(found).all()
    assert found[:32].max() < found[32:].min()  # good images, and those with a defect


def test_members_that_cannot_move_are_left_out():
    stack = ImageStack((Level(), Stiff(), Level()))
    scorer = trained(stack, Samples.of(flat(0.0, 1, 2, 3, 10)))
    moved = stack.adapt(scorer, Samples.of(flat(10.0, 12, 17)), run())
    assert moved.weights.tolist() == [0.5, 0, 0.5]
    assert scorer.weights.tolist() == pytest.approx([1 / 3] * 3)
    stiff = ImageStack((Stiff(),))
    with pytest.raises(DataError, match="no member .* can move to another product: fit anew"):
        stiff.adapt(
            trained(stiff, Samples.of(flat(0.0, 1, 2, 3, 10))), Samples.of(flat(10.0, 12)), run()
        )


# places


def bordered(count, seed):
    """Maps (n, 2, 8, 8) of noise that is three times as wide, and higher, at the border."""
    x = torch.randn(count, 2, 8, 8, generator=torch.Generator().manual_seed(seed))
    border = rings(8, 8) == 0
    return torch.where(border, 3 * x + 2, x)


@pytest.mark.parametrize("base", [Nearest(k=1), Mahalanobis()], ids=["nearest", "mahalanobis"])
def test_a_border_is_no_hotter_than_the_rest(base):
    method = Patches(base, stride=1, context=False)
    scorer, new = trained(method, Samples.of(bordered(120, 0))), bordered(200, 1)
    ring = rings(8, 8)
    with torch.no_grad():
        plain, by_place = scorer.raw(new), scorer.map(new)
    high = [
        [float(heat[:, ring == k].quantile(0.99)) for k in range(4)] for heat in (plain, by_place)
    ]
    assert high[0][0] > 1.5 * max(high[0][1:])
    assert high[1][0] < 1.2 * max(high[1][1:])
    defect = bordered(200, 2)
    defect[:, :, 4, 4] -= 4.5
    found = [auroc(highest(h(new), 0.0), highest(h(defect), 0.0)) for h in (scorer.raw, scorer.map)]
    assert found[0] < 0.8 < 0.95 < found[1]


def test_where_images_are_few_a_place_is_drawn_towards_its_ring_and_a_ring_towards_all():
    # One image: 16 cells of the border, 8 inside and one in the middle; the median of all is 3.
    score = torch.zeros(1, 5, 5)
    score[:, 0], score[:, -1], score[:, :, 0], score[:, :, -1] = 3.0, 3.0, 3.0, 3.0
    score[0, 0, 0] = 24.0
    score[0, 2, 2] = -7.0
    places = Places(5, 5)
    places.fit(score)
    ring = (1 * 3.0 + 2 * 3.0) / 3
    assert places.centre[0, 0].item() == pytest.approx((24.0 + 20 * ring) / 21)
    assert places.centre[0, 1].item() == pytest.approx((3.0 + 20 * ring) / 21)
    inner = (1 * 0.0 + 2 * 3.0) / 3
    assert places.centre[1, 1].item() == pytest.approx((0.0 + 20 * inner) / 21)
    assert places.centre[2, 2].item() == pytest.approx((-7.0 + 20 * (-7.0 + 2 * 3.0) / 3) / 21)
    assert torch.isfinite(places(score)).all()


def test_scores_that_never_vary_keep_their_units():
    places = Places(3, 3)
    places.fit(torch.full((4, 3, 3), 2.0))
    assert places.spread.tolist() == [[1.0] * 3] * 3
    assert places(torch.full((1, 3, 3), 5.0)).unique().tolist() == [3.0]


@pytest.mark.parametrize("top", [(), (-0.1,), (0.05, 1.5), (float("nan"),), 0.05, "ab"])
def test_shares_of_cells_lie_between_none_and_all(top):
    with pytest.raises(DataError, match="top must be 1 to 100 numbers from 0 to 1, got"):
        check_fields(Patches(Nearest(), top=top))


@pytest.mark.parametrize("members", [(), (TopK(), Patches(Forest()))])
def test_a_stack_of_images_without_evidence_is_refused(members):
    with pytest.raises(DataError, match=r"of this ImageStack .*: label anomalies, or add a member"):
        trained(ImageStack(members), toy_maps(8, 0))


def test_rows_keep_their_proportions_where_asked_for():
    x = torch.randn(30, 2, 4, 4, generator=run().generator) * torch.tensor([1.0, 10.0]).view(
        2, 1, 1
    )
    for unscaled, expected in ((False, 1.0), (True, 10.0)):
        method = Patches(Nearest(k=1), stride=1, context=False, unscaled=unscaled)
        scaling = trained(method, Samples.of(x)).scaling
        spread = scaling(cells(x)).std(dim=0)
        assert (spread[1] / spread[0]).item() == pytest.approx(expected, rel=0.15)


def test_what_keeps_nothing_of_the_old_product_moves_alone():
    members = (Patches(Nearest(k=1, whiten=True)), Patches(Nearest(k=1)), Whole(Nearest()))
    assert [bool(ability(member, "adapts_anew")) for member in members] == [False, True, True]
    assert not ability(Patches(Mahalanobis()), "adapts_anew")
    stack = ImageStack(members)
    moved = stack.adapt(trained(stack, toy_maps()), Samples.of(toy_maps().x[:6] + 9), run())
    # three pools of the second, and the third, count alike
    expected = [0, 0, 0, 1 / 6, 1 / 6, 1 / 6, 1 / 2]
    assert moved.weights.tolist() == pytest.approx(expected)


def test_a_single_image_is_judged_half_by_half():
    # The left half is 0, the right 4 with one cell of 6: whatever learned from one half is 4 away
    # from the other, and the cell 6.
    x = torch.zeros(1, 1, 4, 4)
    x[..., 2:] = 4.0
    x[0, 0, 1, 3] = 6.0
    method = Patches(Nearest(k=1), stride=1, context=False)
    scorer = trained(method, Samples.of(bordered(10, 0)[:, :1, :4, :4]))
    moved = method.adapt(scorer, Samples.of(x), run())
    unit = scorer.scaling.sd[0].item()
    # the median of all is 4, in units of the old product; one image moves a place by 1 / 21
    wide = 4.0 / unit
    assert moved.places.centre[0, 0].item() == pytest.approx(wide, rel=1e-5)
    assert moved.places.centre[1, 3].item() == pytest.approx((6 / unit + 20 * wide) / 21, rel=1e-5)
