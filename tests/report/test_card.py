"""The model card: what it says is the bundle's, and what comes from outside stays text."""

import re
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from unseen import Bundle, Detector
from unseen.evaluation.choices import Protocol
from unseen.evaluation.protocol import evaluate
from unseen.methods import DevNet
from unseen.report.card import as_markdown, model_card

HEADINGS = [
    "Use and limits",
    "Data, and how it was made",
    "How many alarms, and what is missed",
    "Evaluation",
    "Loading it",
]
HOSTILE = [
    "<script>alert(1)</script>",
    "</td></tr></table><h1>x</h1>",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "a|b|c",
    "line\n\n# Heading\n- list",
    "`code` *bold* __init__ ~~gone~~",
    "http://evil.example www.evil.example a@evil.example",
    "&lt;b&gt; &#x41;",
    "\\",
    "right \u202eto left \x00 \ud800",
]


def rows(n=300, seed=0):
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.normal(size=(n, 3)), columns=["flow", *HOSTILE[:2]])
    x.iloc[-80:-40] += 5.0
    x.iloc[-40:] -= 6.0
    return x, np.array(["ok"] * (n - 80) + [HOSTILE[5]] * 40 + ["leak"] * 40, dtype=object)


@pytest.fixture(scope="module")
def bundle():
    x, y = rows()
    facts = {"source": HOSTILE[2], "drop": HOSTILE[3:6], "note": HOSTILE[6], HOSTILE[7]: 1}
    detector = Detector(random_state=0, normal="ok").fit(x, y)
    return Bundle(detector, {"created": "2026-11-29", "unseen": "0", "torch": "2"} | facts)


def read(card):
    """The card as a browser would show it: its text, its headings, and the types of its parts."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(card)
    inside = [child for token in tokens for child in token.children or ()]
    texts = [
        "".join(c.content for c in token.children if c.type in ("text", "text_special"))
        for token in tokens
        if token.type == "inline"
    ]
    heads = [
        tokens[k + 1].content for k, token in enumerate(tokens) if token.type == "heading_open"
    ]
    return texts, heads, {token.type for token in [*tokens, *inside]}


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_shown_as_it_is_and_does_nothing(value):
    texts, _, types = read(f"| a |\n|---|\n| {as_markdown(value)} |\n\n{as_markdown(value)}\n")
    shown = " ".join("".join(" " if c in "\u202e\x00\ud800" else c for c in value).split())
    assert texts == ["a", shown, shown]
    assert types <= {
        *("table_open", "table_close", "thead_open", "thead_close", "tr_open", "tr_close"),
        *("th_open", "th_close", "tbody_open", "tbody_close", "td_open", "td_close"),
        *("paragraph_open", "paragraph_close", "inline", "text", "text_special"),
    }
    assert re.search(r"(https?:/|www\.|\w@)", as_markdown(value)) is None  # no link by itself


def test_a_card_of_hostile_names_has_its_own_parts_alone(bundle):
    card = model_card(bundle)
    texts, heads, types = read(card)
    assert heads[1:] == HEADINGS
    assert not types & {"html_block", "html_inline", "link_open", "image", "code_inline"}
    assert card == model_card(bundle)
    assert {"calibration", "note", "left out"} < set(texts)  # the facts are there
    assert any(HOSTILE[2] in text for text in texts)


def test_what_it_says_is_what_the_bundle_tells(bundle, tmp_path):
    x, _ = rows(seed=1)
    card, detector = model_card(bundle), bundle.detector
    spots = detector.blind_spots(0.05)
    assert f"{spots.expected:.0%} ({spots.low:.0%} to {spots.high:.0%}) at 5% false alarms" in card
    scores = detector.anomaly_score(x)
    found = re.search(r"^\| 0\.05 \| ([\d.]+) \| 50 \| (\d+%) \|", card, flags=re.MULTILINE)
    near = np.abs(scores / float(found[1]) - 1) > 1e-3  # four digits are shown
    assert ((scores >= float(found[1])) == (detector.pvalue(x) <= 0.05))[near].all()
    assert found[2] == f"{spots.expected:.0%}"
    folder = tmp_path / "m"
    bundle.save(folder)
    loaded = Bundle.load(folder)
    assert model_card(loaded) == card
    assert sha256((folder / "bundle.json").read_bytes()).hexdigest() in card


def test_an_evaluation_tells_unseen_and_seen_classes_apart(bundle):
    x, y = rows()
    choices = Protocol(seeds=1, seen=1, shots=5)
    table = x.assign(kind=y)
    reports = evaluate(table, label="kind", normal="ok", methods="mahalanobis", protocol=choices)
    card = model_card(Bundle(bundle.detector, bundle.facts | {"evaluation": reports}))
    assert "| unseen classes: AUROC |" in card
    assert "is found worst, AUROC" in card
    other = model_card(Bundle(bundle.detector, bundle.facts | {"evaluation": [{"a": 1}]}))
    assert "None is saved with it" in other


def test_without_labels_and_digest_it_says_so():
    x, _ = rows()
    card = model_card(Bundle(Detector("mahalanobis", random_state=0).fit(x), {"label": None}))
    assert "is not known: blind spots are told by classes that were held out" in card
    assert "every row of training, as there was no column of labels" in card
    assert "It was never saved" in card
    assert "No anomaly was labelled" in card


def test_of_a_method_that_would_train_anew_nothing_is_trained(monkeypatch):
    x, y = rows()
    detector = Detector(DevNet(steps=5), random_state=0, normal="ok").fit(x, y)
    monkeypatch.setattr(Detector, "fit", None)
    assert "the command unseen blindspots trains anew" in model_card(Bundle(detector))
