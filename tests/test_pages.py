"""The pages of the methods: current, complete, and honest about what lies below its baseline."""

import doctest
from dataclasses import dataclass, field

import pandas as pd
import pytest
from bench import composition, docstrings, families, pages, part_tables, standing
from bench.results import CELL
from bench.side_by_side import HEADLINE

from unseen import LISAE, METHODS, AutoEncoder, DevNet, EvidenceStack, Forest, Logistic, MultiDirectional, Nearest


def test_a_page_of_a_method_that_is_no_more_goes(tmp_path):
    (tmp_path / "gone.md").write_text("old")
    pages.write(tmp_path, tmp_path / "no results")
    assert {path.stem for path in tmp_path.glob("*")} == {*METHODS, "README"}
    assert "No runs in the benchmark yet" in (tmp_path / "nearest.md").read_text()


def test_every_method_is_in_one_family_whose_baseline_there_is():
    named = [name for family in families.FAMILIES.values() for name in family.names]
    assert sorted(set(named)) == sorted(named)
    assert set(METHODS) <= set(named)
    assert {family.baseline for family in families.FAMILIES.values()} <= set(METHODS)
    assert set(families.MORE) <= set(METHODS)
    for title, labels in {"label-free": False, "few-shot": True}.items():
        there = [name for name in families.FAMILIES[title].names if name in METHODS]
        assert {METHODS[name].uses_labels for name in there} == {labels}


@pytest.mark.parametrize("module", [docstrings, composition, pages, standing], ids=lambda module: module.__name__)
def test_examples(module):
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_parts_are_those_that_the_code_calls():
    made = {kind: {part.name: part.role for part in composition.made_of(kind)} for kind in (Nearest, DevNet, Forest)}
    # of its own class, not of others in the file
    assert made[Nearest] == {"Whitening": "scorer", "Bank": "scorer", "centres": "rows"}
    called = {"deviation": "loss", "descend": "loop", "balanced": "rows"}  # the first as losses.deviation
    assert called.items() <= made[DevNet].items()
    assert [fitter.name for fitter in composition.fitters(Forest)] == ["DecisionTreeClassifier", "ExtraTreeClassifier"]
    stack = EvidenceStack(on_raw_features=(Logistic(), Forest()))
    assert composition.nested(stack) == [Logistic(), Forest()]
    assert part_tables.members(stack) == ["logistic", "forest"]
    [surface] = [part for part in composition.made_of(MultiDirectional) if part.name == "DescribedScorer"]
    assert {"Deviation", "Plain"} <= {inner.name for inner in composition.inside(surface)}  # Plain is two steps away


def test_a_method_that_wraps_another_has_to_beat_it(monkeypatch):
    @dataclass(frozen=True)
    class Wrapper:
        steps: int = 3
        base: DevNet = field(default_factory=DevNet)

    monkeypatch.setitem(METHODS, "comet", Wrapper())
    assert pages.baseline("comet") == ("devnet", "the method that it wraps")
    assert pages.baseline("devnet") == ("nearest-ratio", "the simplest baseline of its family")
    assert pages.labels("comet") == "as its base does"
    assert pages.short(Wrapper(base=DevNet(cut=0.5))) == "Wrapper(base=DevNet(cut=0.5))"


def test_a_docstring_in_another_form_is_refused():
    class Formless:
        """A method.

        When: always.
        Equation:
            score(x) = 1

        >>> 1
        1
        """

    with pytest.raises(SystemExit, match="Formless: expected Equation:, When:, Differs: .* found When, Equation"):
        docstrings.read(Formless)


def test_a_field_means_what_the_docstring_says_first():
    doc = docstrings.read(AutoEncoder)
    assert doc.meaning("latent", 8).startswith("The bottleneck is `latent` wide")
    assert doc.meaning("steps", 9) == docstrings.GENERAL["steps"]
    assert doc.meaning("steps", "many") == ""
    assert docstrings.read(LISAE).meaning("alpha", 1.0) == "In the equation."
    assert doc.meaning("unheard", 1) == ""


def runs(*rows):
    """(set, seed, method, AUROC) each, in the headline cell."""
    table = pd.DataFrame(rows, columns=["set", "seed", "method", "unseen_auroc"])
    table[CELL] = HEADLINE
    same = dict.fromkeys(("seen_auroc", "unseen_tpr_at_5_fpr"), table["unseen_auroc"])
    return table.assign(**same, fit_seconds=1.0, version="unseen 1", date="2026-01-01", error=None)


BASE = "the simplest baseline of its family"


def test_below_the_baseline_is_said_in_bold():
    given = runs(("a", 0, "x", 0.7), ("a", 1, "x", 0.9), ("a", 0, "y", 0.9), ("a", 1, "y", 0.8), ("a", 9, "y", 0.0))
    said = standing.standing(given, "x", "y", BASE).verdict()
    assert said == [
        f"**It lies below {BASE} on unseen and on seen classes.** Beside [`y`](y.md), {BASE}: -0.050 AUROC on unseen "
        "classes (ahead in 1 of 2 draws), -0.050 AUROC on seen classes (ahead in 1 of 2 draws)."
    ]  # seed 9, which x lacks, counts for neither
    other = standing.standing(given, "y", "x", BASE)
    assert other.verdict()[0].startswith("Beside [`x`](x.md)")
    assert standing.standing(given, "y", "y", BASE).verdict() == [f"It is itself {BASE}."]
    assert standing.standing(given, "absent", "y", BASE) is None


def test_a_mean_over_some_sets_does_not_stand_for_all():
    given = runs(("a", 0, "x", 0.7), ("a", 0, "y", 0.9), ("b", 0, "y", 0.7))
    some, every = (standing.standing(given, name, "y", BASE) for name in ("x", "y"))
    assert (some.mean("unseen_auroc"), every.mean("unseen_auroc"), every.mean("fit_seconds")) == ("-", "0.800", "1.0")
    assert "It ran on 1 of 2 sets" in some.setting()
    assert "| x | this method | 0.700 |" in some.beside()
    assert "| [`y`](y.md) | baseline | 0.900 |" in some.beside()  # on the set that both have


def test_a_bar_in_a_cell_is_no_border():
    assert part_tables.table(["a"], [["|x|"]]).splitlines()[-1] == "| \\|x\\| |"
