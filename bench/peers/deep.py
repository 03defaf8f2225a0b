"""Few-label networks of PyOD and DeepOD: as shipped, and repaired to see the labels."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch.utils.data import DataLoader, WeightedRandomSampler

Score = Callable[[Any], Any]


def pyod_devnet(x: Any, y: Any, seed: int) -> Score:
    """PyOD's DevNet as shipped; `pyod_devnet_repaired` says what is wrong with it."""
    from pyod.models.devnet import DevNet

    return DevNet(random_seed=seed, device="cpu").fit(x, y).decision_function


def pyod_devnet_repaired(x: Any, y: Any, seed: int) -> Score:
    """PyOD's DevNet with a loss that sees the labels, and the paper's batches.

    As shipped, `fit` calls `deviation_loss(outputs, labels)` where the function takes `(y_true,
    y_pred)`: predictions stand in for labels and labels for predictions. Besides, outputs are
    (n, 1) and labels (n,), so their difference is (n, n), and each row gets the mean label of its
    batch: all scores fall together, whatever the row is. And batches are drawn from all rows, so
    that 30 labelled rows among 5,000 hardly occur, where the paper's are anomalies by half.
    """
    from pyod.models import devnet

    published = devnet.deviation_loss

    def seeing(outputs: Any, labels: Any) -> Any:
        return published(labels, outputs.flatten())

    def balanced(dataset: Any, batch_size: int, shuffle: bool) -> DataLoader[Any]:
        sides = (dataset.inlier_indices, dataset.outlier_indices)  # as it numbers its rows
        counts = torch.tensor([len(side) for side in sides])
        weights = torch.repeat_interleave(1.0 / counts, counts).tolist()
        sampler = WeightedRandomSampler(weights, batch_size * model.nb_batch)
        return DataLoader(dataset, batch_size, sampler=sampler)

    model = devnet.DevNet(random_seed=seed, device="cpu")
    with mock.patch.multiple(devnet, deviation_loss=seeing, DataLoader=balanced):
        model.fit(x, y)
    return model.decision_function


def deepod(name: str) -> Callable[[Any, Any, int], Score]:
    """A method of DeepOD as shipped."""

    def learn(x: Any, y: Any, seed: int) -> Score:
        from deepod.models import tabular

        model = getattr(tabular, name)(device="cpu", verbose=0, random_state=seed)
        return model.fit(x, y).decision_function

    return learn


def deepod_devnet_repaired(x: Any, y: Any, seed: int) -> Score:
    """DeepOD's DevNet with a loss that sees the labels.

    As shipped, predictions are (n, 1) and labels (n,): their product is (n, n), and each row gets
    the mean label of its batch, one half, whatever it is; what it learns comes from half of its
    batches being labelled rows. Predictions of shape (n,) are all that it lacks. The loss then fits
    the few labelled rows, for the 100 epochs that are shipped, and overfits them: it may rank worse
    than the broken one, whose loss holds it back.
    """
    from deepod.models.tabular import DevNet

    class Flat(DevNet):  # type: ignore[misc]
        def training_forward(self, batch_x: Any, net: Any, criterion: Any) -> Any:
            return super().training_forward(batch_x, lambda rows: net(rows).flatten(), criterion)

    return Flat(device="cpu", verbose=0, random_state=seed).fit(x, y).decision_function
