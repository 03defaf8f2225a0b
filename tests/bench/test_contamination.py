"""Hidden anomalies: the rate asked for, more at a higher rate, none of them labelled or tested;
figures by hand.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from bench.pages.contamination import contamination
from bench.runs.open_set import Data
from bench.runs.store import Store
from bench.studies.contamination import KEY, SCHEMA, drawn, share_found

CODES = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3, 4], [3000, 800, 600, 400, 200]))
DATA = Data(None, CODES, None, CODES, ("a", "b", "c", "d"), np.arange(len(CODES)))


def test_hidden_rows_make_up_the_rate_and_are_nowhere_else():
    before = np.array([], dtype=int)
    for rate in (0.0, 0.05, 0.4):
        draw, hidden = drawn(DATA, {"set": "toy", "seed": 3, "rate": rate})
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
        drawn(small, {"set": "small", "seed": 0, "rate": 0.4})


def test_the_share_found_by_hand():
    # the audit names the 20 rows that were taken for normal, most doubted first; a tenth is two
    # rows
    audit = pd.DataFrame({"row": [19, 4, 3, *(row for row in range(20) if row not in (19, 4, 3))]})
    hidden = np.isin(np.arange(21), [19, 3])
    assert share_found(SimpleNamespace(audit_=audit), hidden) == 0.5


def test_the_page_tells_means_and_paired_differences(tmp_path):
    store = Store(tmp_path / "runs.parquet", SCHEMA, KEY)
    for seed, (plain, soft) in enumerate([(0.8, 0.9), (0.6, 0.6)]):
        record = dict.fromkeys(SCHEMA.names) | {
            "set": "shuttle",
            "method": "devnet",
            "version": "1",
            "seed": seed,
        }
        record |= {"rate": 0.1, "plain": plain, "trimmed": plain, "soft": soft, "soft + meta": soft}
        record |= {f"audit: {name}": 0.25 for name in ("plain", "soft", "soft + meta")}
        store.append(
            record | {"date": "2026-11-25T00:00:00", "machine": "toy", "versions": "torch"}
        )
    text = contamination(tmp_path / "runs.parquet", tmp_path)
    assert "| plain | 0.700 ± 0.141 |" in text
    assert "| soft | 0.750 ± 0.212 |" in text
    assert "| soft | +0.050 ± 0.050, 1 of 2 |" in text
    assert "| `devnet`, shuttle | 0.25 ± 0.00 | 0.25 ± 0.00 | 0.25 ± 0.00 |" in text
