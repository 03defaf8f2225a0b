"""The plain scale, undone from logarithms, against plain values themselves."""

import numpy as np
import pytest
import torch

from unseen.data.schema import Schema
from unseen.parts.plain import Plain

rng = np.random.default_rng(0)
COLUMNS = {
    "sizes over many orders": rng.lognormal(5.0, 3.0, 500),
    "losses": -rng.lognormal(1.0, 1.0, 500),
    "both signs": rng.standard_t(2, 500) * 100,
    "far from zero, hardly varying": 1e6 + rng.exponential(1.0, 500),
    "below one": rng.exponential(0.01, 500),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_logarithms_are_undone_to_what_plain_standardising_gives(name, monkeypatch):
    monkeypatch.setattr("unseen.data.scaling.calls_for_plain", lambda values, logs: False)
    values = COLUMNS[name][:, None]
    schema = Schema.infer(values[:400])
    assert not np.isnan(schema.logarithms).any()
    x = torch.from_numpy(schema.encode(values))
    view = Plain()
    view.fit(x[:400], torch.tensor([0]), torch.from_numpy(schema.logarithms))
    expected = ((values - values[:400].mean()) / values[:400].std()).clip(-10, 10)
    np.testing.assert_allclose(view(x), expected, atol=2e-3, rtol=2e-3)


def test_there_is_no_plain_view_without_logarithms():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    for columns, logarithms in (
        (torch.arange(3), None),
        (torch.arange(3), torch.full((3, 2), torch.nan)),
        (torch.arange(0), torch.ones(3, 2)),
        (torch.tensor([0]), torch.tensor([[torch.nan] * 2, [1.0, 1.0], [1.0, 1.0]])),
    ):
        view = Plain()
        view.fit(x, columns, logarithms)
        assert len(view.columns) == 0


def test_a_constant_column_stays_as_it_is_encoded():
    x = torch.zeros(20, 2)
    x[:, 1] = torch.linspace(-1, 1, 20)
    view = Plain()
    view.fit(x, torch.arange(2), torch.tensor([[1.0, 1e-6], [1.0, 1.0]]))
    assert view(torch.tensor([[10.0, 0.0]]))[0, 0] == 10.0


def test_values_of_any_size_stay_finite():
    x = torch.tensor([[-10.0], [0.0], [1.0], [10.0]])
    view = Plain()
    view.fit(x, torch.tensor([0]), torch.tensor([[30.0, 50.0]]))
    found = view(x)[:, 0]
    assert torch.isfinite(found).all()
    assert (found.diff() >= 0).all()
