"""Hidden anomalies: the rate asked for, more at a higher rate, none of them labelled or tested; figures by hand."""

import numpy as np
import pytest
import torch
from bench.contamination import KEY, SCHEMA, Job, drawn, page, share_found
from bench.side_by_side import Data
from bench.store import Store

from unseen.types import Samples

CODES = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3, 4], [3000, 800, 600, 400, 200]))
DATA = Data(None, CODES, None, CODES, ("a", "b", "c", "d"), np.arange(len(CODES)))


def test_hidden_rows_make_up_the_rate_and_are_nowhere_else():
    before = np.array([], dtype=int)
    for rate in (0.0, 0.05, 0.4):
        draw, hidden = drawn(DATA, Job("toy", 3, rate, "devnet"))
        taken = draw.y == 0
        assert hidden.sum() == round(1200 * rate / (1 - rate))
        assert hidden[taken].mean() == pytest.approx(rate, abs=1e-3)
        assert (CODES[draw.train[hidden]] > 0).all()
        assert (CODES[draw.train[taken & ~hidden]] == 0).all()
        assert (draw.y > 0).sum() == 30
        assert len(np.unique(draw.train)) == len(draw.train)
        assert not np.isin(draw.train, draw.test).any()
        assert np.isin(before, draw.train[hidden]).all()
        before = draw.train[hidden]


def test_a_set_that_is_too_small_says_so():
    small = Data(None, CODES[:2000], None, CODES[:2000], ("a", "b", "c", "d"), np.arange(2000))
    with pytest.raises(ValueError, match="cannot hold 1200 normal and 800 hidden"):
        drawn(small, Job("small", 0, 0.4, "devnet"))


def test_the_share_found_by_hand():
    class First(torch.nn.Module):
        def forward(self, x):
            return x[:, 0]

    # Of 20 rows taken for normal the lowest-weighted tenth are the two highest; one of them is hidden.
    rows = Samples.of(torch.arange(21.0)[:, None], torch.tensor([0] * 20 + [1]))
    hidden = np.isin(np.arange(21), [19, 3])
    assert share_found(First(), rows, hidden) == 0.5


def test_the_page_tells_means_and_paired_differences(tmp_path):
    store = Store(tmp_path / "runs.parquet", SCHEMA, KEY)
    for seed, (plain, soft) in enumerate([(0.8, 0.9), (0.6, 0.6)]):
        record = dict.fromkeys(SCHEMA.names) | {"set": "shuttle", "method": "devnet", "version": "1", "seed": seed}
        record |= {"rate": 0.1, "plain": plain, "trimmed": plain, "soft": soft, "soft + meta": soft}
        record |= {f"audit: {name}": 0.25 for name in ("plain", "soft", "soft + meta")}
        store.append(record | {"date": "2026-11-25T00:00:00", "machine": "toy", "versions": "torch"})
    text = page(tmp_path / "runs.parquet")
    assert "| plain | 0.700 ± 0.141 |" in text
    assert "| soft | 0.750 ± 0.212 |" in text
    assert "| soft | +0.050 ± 0.050, 1 of 2 |" in text
    assert "| `devnet`, shuttle | 0.25 ± 0.00 | 0.25 ± 0.00 | 0.25 ± 0.00 |" in text
