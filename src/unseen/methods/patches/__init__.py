"""Patches of images as rows: any method for rows becomes one for images, and says where the defect
is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from unseen.methods.patches.scorer import PatchScorer
from unseen.parts.cells import marked, uppermost, with_mask
from unseen.parts.episodes import together
from unseen.parts.nets import seeded
from unseen.types import Adaptable, Method, Run, Samples, ability

ROUNDS = 2  # of naming the cells that show a defect, where no mask says which
PARTS = 3  # of the normal images, each scored by what learned from the others
TOGETHER = 16  # images whose cells are scored at once
PLACED = 60  # images after which no further part is scored: places are known well enough


@dataclass(frozen=True)
class Patches:
    """A method for rows on every cell of a feature map, in units of normal images at that place; an
    image scores by its highest cells.

    Samples are maps (n, d, h, w) of a frozen backbone. A row of the base is a cell; with `context`
    also how it differs from the mean of its image: a cell may be normal by itself, and not there. A
    cell of a labelled image is a labelled anomaly where the mask (`Samples.mask`) covers at least
    half of it, or as much as it covers any. Where there is no mask, the cells that lie furthest
    from normal ones are, then, once more, those that the base itself scores highest
    (multiple-instance learning by turns).

    What the base says of a cell counts relative to what normal images score at the same place, as
    told by some that it did not learn from: a backbone pads its borders, and cells there are unlike
    all others. `adapt` is that of the base; places are learned anew.

    Equation:
        z(c) = (base(x_c) - centre_c) / spread_c,
            centre_c, spread_c those of held-out normal images at c (`Places`)
        score(x) = mean over shares t in `top` of the mean of the highest t of z(c)
            over the cells c of x

    When: defects are small beside the image, or you want to see where they are. Where light or
    texture change all over, `Whole` sees more.
    Differs: DevNet for images (arXiv 2108.00462) trains through the pooling; here a cell has a
    label of its own. The units by place are ours, and so is the mean of the image beside the cell:
    docs/guides/images.md says why.

    Parameters
    ----------
    base : Method
        Method for rows that scores cells, on d columns, with context on 2d.
    stride : int
        Cells are averaged `stride` by `stride` first; 1 leaves them as they are.
    context : bool
        Whether rows also say how a cell differs from the mean of its image.
    unscaled : bool
        Whether columns of rows keep their proportions; else each is in units of normal cells.
    top : tuple of float
        Shares of an image's cells, 0 to 1 and one cell at least, whose means are averaged; an
        `ImageStack` takes each for evidence of its own. Of a labelled image without a mask, the
        largest is the share that is taken for anomalous.
    cells : int
        Most cells of normal images in training, and in `adapt`, drawn at random.

    >>> from unseen.methods.distances import Nearest
    >>> Patches(Nearest()).build((5, 4, 4)).map(torch.zeros(3, 5, 4, 4)).shape
    torch.Size([3, 2, 2])
    """

    base: Method
    stride: int = 2
    context: bool = True
    unscaled: bool = False
    top: tuple[float, ...] = (0.0, 0.01, 0.05)
    cells: int = 20_000

    @property
    def uses_labels(self) -> bool:
        return self.base.uses_labels

    @property
    def pools(self) -> list[str]:
        """What a reader calls each share, "" for a single one."""
        if len(self.top) == 1:
            return [""]
        return [f"highest {100 * share:.3g}%" if share else "highest cell" for share in self.top]

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        width = 2 * shape[0] if self.context else shape[0]
        inner = self.base.build((width,))
        return PatchScorer(inner, width, shape, self.stride, context=self.context, top=self.top)

    def train(self, scorer: PatchScorer, data: Samples, run: Run) -> None:
        run = replace(run, logarithms=None)
        normals = self.normals(scorer, data, run, fit=True)
        anomalies = data.anomalies if self.uses_labels else data.anomalies[:0]
        masked = with_mask(anomalies.mask, len(anomalies)).to(data.x.device)
        labelled = _labelled_cells(
            scorer, anomalies[masked], marked(anomalies[masked].mask, self.stride)
        )
        untold = anomalies[~masked]
        distance = scorer.apart(normals.x, untold.x)
        known = labelled
        for _ in range(ROUNDS if len(untold) else 0):
            guessed = _labelled_cells(scorer, untold, uppermost(distance, max(self.top)))
            labelled = together(known, guessed)
            self.base.train(scorer.inner.train(), together(normals, labelled), run)
            with torch.no_grad():
                distance = scorer.eval().raw(untold.x)
        if not len(untold):
            self.base.train(scorer.inner, together(normals, labelled), run)

        def learned(others: Samples) -> nn.Module:
            inner = seeded(lambda: self.base.build((scorer.width,)), run.seed()).to(run.device)
            rows = self.normals(scorer, others, run)
            self.base.train(inner.train(), together(rows, labelled), run)
            return inner.eval()

        self.place(scorer, data.normals, learned, run)

    def place(
        self,
        scorer: PatchScorer,
        normals: Samples,
        learned: Callable[[Samples], nn.Module],
        run: Run,
    ) -> None:
        """Learn the places from normal images, each scored by what was `learned` from others; a
        single one half by half, left and right.
        """
        m, found = len(normals), list[Tensor]()
        if m == 1:
            found = _halves(scorer, normals, learned)
        order = torch.randperm(m, generator=run.generator).to(normals.x.device)
        for part in order.tensor_split(min(PARTS, m)) if m > 1 else ():
            others = torch.ones(m, dtype=torch.bool, device=order.device)
            others[part] = False
            inner = learned(normals[others])
            with torch.no_grad():
                found += [scorer.raw(x, inner) for x in normals.x[part].split(TOGETHER)]
            if sum(map(len, found)) >= PLACED:
                break
        if found:
            scorer.places.fit(torch.cat(found))

    def normals(
        self, scorer: PatchScorer, data: Samples, run: Run, *, fit: bool = False
    ) -> Samples:
        """Cells of the normal images as rows, at most `cells`."""
        normals = data.both.normals
        h, w = scorer.cells_of(normals.x)
        drawn = torch.randperm(len(normals) * h * w, generator=run.generator)[: self.cells]
        drawn = drawn.to(data.x.device)
        image, x = drawn // (h * w), data.x.new_zeros(len(drawn), scorer.width)
        for start in range(0, len(normals), TOGETHER):  # all at once would fill the memory
            here = (image >= start) & (image < start + TOGETHER)
            rows = scorer.rows(normals.x[start : start + TOGETHER])
            x[here] = rows[drawn[here] - start * h * w]
        if fit:
            scorer.scaling.fit(x, each=not self.unscaled)
        return Samples(
            scorer.scaling(x), normals.y[image], normals.group[image], normals.weight[image]
        )

    @property
    def adapt(self) -> Any:
        """`adapted`, of a base that can adapt, else None."""
        return self.adapted if ability(self.base, "adapt") else None

    @property
    def adapts_anew(self) -> bool:
        """Whether the base keeps nothing in `adapt`."""
        return bool(ability(self.base, "adapts_anew"))

    def adapted(self, scorer: PatchScorer, support: Samples, run: Run) -> PatchScorer:
        """A new scorer for the domain that `support` shows."""
        moved = copy.copy(scorer)
        moved._modules = dict(scorer._modules) | {"places": copy.deepcopy(scorer.places)}
        base = cast(Adaptable, self.base)

        def learned(images: Samples) -> nn.Module:
            return base.adapt(scorer.inner, self.normals(scorer, images, run), run)

        moved.inner = learned(support)
        self.place(moved, support.normals, learned, run)
        return moved


@torch.no_grad()
def _halves(
    scorer: PatchScorer, image: Samples, learned: Callable[[Samples], nn.Module]
) -> list[Tensor]:
    """What is said of each half of a single image by what was learned from the other: (1, h, w);
    nothing of an image of one column.
    """
    middle = scorer.cells_of(image.x)[1] // 2 * scorer.stride
    if not middle:
        return []
    left, right = (
        replace(image, x=part, mask=None, resaved=None)
        for part in (image.x[..., :middle], image.x[..., middle:])
    )
    each = (scorer.raw(left.x, learned(right)), scorer.raw(right.x, learned(left)))
    return [torch.cat(each, dim=2)]


def _labelled_cells(scorer: PatchScorer, images: Samples, which: Tensor) -> Samples:
    """These cells of labelled images as rows, each with its image's label: (n, h, w) bool -> m
    rows.
    """
    x = scorer.scaling(scorer.rows(images.x))
    image = which.nonzero()[:, 0]
    return Samples(x[which.flatten()], images.y[image], images.group[image], images.weight[image])
