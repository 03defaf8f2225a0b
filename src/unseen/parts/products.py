"""Matrix products whose rows do not depend on their place: what scores with them gives equal rows
equal bits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unseen.parts.exporting import drawing

# columns of a result below which kernels sum a row in an order that depends on where it lies in
# memory
NARROW = 16


def product(x: Tensor, right: Tensor) -> Tensor:
    """x @ right, each row summed by itself where columns are few and nothing is trained: (n, k),
    (k, m) -> (n, m).

    >>> with torch.no_grad():
    ...     product(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    if torch.is_grad_enabled() or not 0 < right.shape[1] < NARROW or drawing():
        return x @ right
    return torch.stack([(x * column).sum(dim=1) for column in right.T], dim=1)


class Linear(nn.Linear):
    """A linear layer by `product`.

    >>> layer = Linear(3, 2)
    >>> with torch.no_grad():
    ...     layer(torch.ones(1, 3)).shape
    torch.Size([1, 2])
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or self.out_features >= NARROW or drawing():
            return super().forward(x)
        found = product(x, self.weight.T)
        return found if self.bias is None else found + self.bias
