"""Why methods lie below their baseline on unseen classes: in words, and the change of a method that shows it."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from unseen.methods import METHODS


class Cause(NamedTuple):
    """What the tables of bench.why say, and what is measured beside: the method without what is suspected."""

    words: str
    change: Any = None


def altered(name: str, **fields: Any) -> Any:
    return dataclasses.replace(METHODS[name], **fields)


RATIO = "For new kinds take [`nearest-ratio`](nearest-ratio.md) or [the default](evidence-stack.md)."
CAUSES = {
    "devnet": Cause(
        "The loss asks for a high score at labelled anomalies and nowhere else. What deviates from the normals the "
        "way they do is found, what deviates another way is not; on Thyroid the third farthest from the normals is "
        "found far less than by the baseline. Pseudo-anomalies (`cut=0.5`), which ask for a high score all around, "
        f"close most of the gap on NSL-KDD and none of it on Thyroid. {RATIO}",
        altered("devnet", cut=0.5),
    ),
    "prenet": Cause(
        "As the relation of a pair is a sum of one term for each row, training asks for a high term at labelled "
        "anomalies and a low one at normals, and for nothing elsewhere. So the score follows how like a row's "
        "direction is to that of a labelled anomaly more than how far the row is from the normals; the baseline's "
        f"does the reverse. {RATIO}"
    ),
    "flos": Cause(
        "The focal loss tells labelled anomalies from normals, and asks for nothing where neither lies. On Thyroid "
        "what deviates in other directions scores far below the normals, and the third farthest from the normals is "
        f"hardly found better than the middle one. {RATIO}"
    ),
    "logistic": Cause(
        "The score is linear: it rises along one direction and falls along its opposite. The third that deviates "
        "least like a labelled anomaly scores below the normals, and the distance from the normals says little about "
        "the score. No training mends that. Take [`nearest-ratio`](nearest-ratio.md), or [the "
        "default](evidence-stack.md), which gives the same regression deviations in place of values."
    ),
    "forest": Cause(
        "Trees cut where labelled anomalies part from normals, and nowhere else; what lies beyond shares a leaf with "
        "normals. The third most like a labelled anomaly in direction is found as well as by the baseline; the gap "
        f"is in the third least like one. {RATIO}"
    ),
    "prn": Cause(
        "A focal head, for which nothing but rows cut from normals stands for anomalies without labels. On Thyroid "
        "these help in directions unlike the labelled ones, too little; on NSL-KDD they harm: with them the third "
        f"nearest to the normals scores below the normals, without them (`cut=0.0`) it does not. {RATIO}",
        altered("prn", cut=0.0),
    ),
    "saliency-cut": Cause(
        "Both heads learn from labelled anomalies and from normals with features cut in. The cut rows help: without "
        "them it is worse. But all their values are values of normals, and nothing asks for a high score farther "
        f"out: on TEP hardly even the third farthest from the normals is found. {RATIO}",
        altered("saliency-cut", cut=0.0),
    ),
    "continuous-labels": Cause(
        "The network regresses labels about 0 and about 1, and so has no reason to score higher farther out: on TEP "
        "the third farthest from the normals is found less than the one before. Three times the steps close more "
        f"than half of the gap there. On Thyroid they do nothing, and the gap runs through all thirds. {RATIO}",
        altered("continuous-labels", steps=3000),
    ),
    "deep-sad": Cause(
        "Training draws normals together and labelled anomalies away; what no label holds back goes with the "
        "normals. The gap is widest in directions least like the labelled ones, and a tenth of the steps finds more. "
        f"Take fewer `steps`, which closes part of the gap. {RATIO}",
        altered("deep-sad", steps=100),
    ),
    "deep-svdd": Cause(
        "On the digits the cause is training, which draws together what normals share, and anomalies with it: after "
        "30 steps it finds more. On TEP 30 steps find the same as all, and what is missed most is what is extreme in "
        "no single column: a network on rows as they are makes little of a broken dependence between columns. Take "
        "[`mahalanobis`](mahalanobis.md), which measures just that.",
        altered("deep-svdd", steps=30),
    ),
    "aa-vae": Cause(
        "Labels are not the cause: without them (`awareness=0.0`) it finds less. The error of reconstruction that it "
        "starts from is small near the normals, and labels mend only some of that: the gap is in the thirds nearer "
        f"to the normals. {RATIO}",
        altered("aa-vae", awareness=0.0),
    ),
    "lis-ae": Cause(
        "On UNSW-NB15 labels lift the autoencoder that it starts from almost to the baseline. On Thyroid they cost: "
        "without their term (`alpha=0.0`) it finds more, as the one layer that is to lose the labelled anomalies "
        "serves all rows. There the third nearest to the normals scores below them either way. Compare with "
        f"[`autoencoder`](autoencoder.md). {RATIO}",
        altered("lis-ae", alpha=0.0),
    ),
    "flow-ratio": Cause(
        "The general flow is the cause: the flow of normals alone finds more on both sets. What is as unlikely among "
        "cut rows as among normals cancels in the ratio. On Thyroid the score hardly follows the distance from the "
        "normals, which the flow's follows closely, and the farthest third is hardly found better than the others. "
        f"Compare with [`flow`](flow.md). {RATIO}",
        METHODS["flow"],
    ),
    "cl-flow": Cause(
        "The push is not the cause: a flow without it finds less on both sets. It lifts most what deviates like the "
        "labelled anomalies. What is left is the density's own, which finds little near the normals, where the "
        f"baseline is furthest ahead. {RATIO}",
        METHODS["flow"],
    ),
    "dplan": Cause(
        "An alarm is paid for on labelled anomalies alone, and costs on every other row. What is paid for strange "
        "rows is paid for either verdict, and is what an isolation forest finds behind the network. The gap is "
        "widest in directions unlike the labelled ones. That pay to come counts is not the cause: with "
        f"`discount=0.0` Thyroid gains a little, and TEP loses far more. {RATIO}",
        altered("dplan", discount=0.0),
    ),
    "meta-occ": Cause(
        "It measures along the few directions in which labelled anomalies lie far from the normals, and what "
        "deviates along others is missed: the gap is in the thirds least like a labelled anomaly. On Thyroid all 16 "
        "directions of the embedding close a part; on TEP they do not, so there the embedding itself has lost it. "
        f"{RATIO}",
        altered("meta-occ", directions=16),
    ),
    "maml": Cause(
        "It is trained too little: 300 steps of the optimiser, where its base takes 1,000. With 1,000 most of the "
        "gap closes. What it misses is what the base misses, directions unlike the labelled anomalies. Where there "
        "is one kind of normal, take [its base](devnet.md).",
        altered("maml", steps=1000),
    ),
    "ahl": Cause(
        "It is trained too little: 300 steps of the optimiser, where its base takes 1,000. The base alone, with 300 "
        "steps, finds as much or more, so its simulated anomalies make up for nothing on these sets. What it misses "
        "is what the base misses, directions unlike the labelled anomalies. Compare with [its base](devnet.md), also "
        "with `cut=0.5`.",
        altered("devnet", steps=300),
    ),
    "comet": Cause(
        "By thousandths: nothing sets it apart from the method inside it. Meta-learning and penalty have no share in "
        "that, as it is the same without them. What they and the weights are for, anomalies among the normal rows, "
        "these draws do not have; [there](../benchmarks/contamination.md) it is measured.",
        altered("comet", meta="none", penalty="none"),
    ),
    "isolation-forest": Cause(
        "Each cut sees one column, so what is extreme in no single one scores low: on UNSW-NB15 below the normals. "
        "Trees of 256 rows are part of it: with 4,096 most of the gap closes there. On TEP, whose columns depend on "
        "one another, that changes little. Take [`mahalanobis`](mahalanobis.md).",
        altered("isolation-forest", rows=4096),
    ),
    "con2": Cause(
        "Most of it is training: with one step in each of its ten stages it finds more on both sets. A mirrored row "
        "is not a normal one in another context here, and a network that tells mirrored rows apart and aligns them "
        "keeps little of what tells anomalies apart. Take [`mahalanobis`](mahalanobis.md).",
        altered("con2", steps=10),
    ),
    "simplenet": Cause(
        "On TEP it is trained too little: three times the steps close more than half of the gap, in every third. On "
        "UNSW-NB15 they do not; there the gap is in directions unlike the labelled ones, where noise in all columns at "
        f"once is all that stands for an anomaly. {RATIO}",
        altered("simplenet", steps=3000),
    ),
    "ssae": Cause(
        "On Shuttle restoring wiped columns is the cause: without its share of the score it is above the baseline. "
        "On TEP it is not; there the gap is in what is near the normals and extreme in no single column. Take "
        "[`mahalanobis`](mahalanobis.md), or `share=0.0` where columns say little about each other.",
        altered("ssae", share=0.0),
    ),
    "fecam": Cause(
        "The power that takes skewness out is the cause: with columns as they are (`power=1.0`) it is above the "
        "baseline on Thyroid and closes part of the gap on TEP. The rest, on TEP, is in what is extreme in no single "
        "column. Take `power=1.0`, or [`mahalanobis`](mahalanobis.md).",
        altered("fecam", power=1.0),
    ),
    "duq": Cause(
        "Training is part of it, as it draws normals together and anomalies with them: a tenth of the steps finds "
        "more on both sets. More is missing than that: what is extreme in no single column is found far less than by "
        "the baseline, on TEP no better than by chance. Take [`mahalanobis`](mahalanobis.md).",
        altered("duq", steps=100),
    ),
}


def changed(name: str) -> Any:
    """The method that is measured beside it; None where there is none."""
    return CAUSES[name].change if name in CAUSES else None


def label(name: str) -> str:
    """What that one is: fields that differ from the method's, or another method, with fields that differ from its own.

    >>> label("devnet"), label("cl-flow"), label("ahl")
    ('cut=0.5', 'flow', 'devnet steps=300')
    """
    other = changed(name)
    kind = name if type(other) is type(METHODS[name]) else next(n for n, m in METHODS.items() if type(m) is type(other))
    fields = [field.name for field in dataclasses.fields(other)]
    differs = [field for field in fields if getattr(other, field) != getattr(METHODS[kind], field)]
    said = ", ".join(f"{field}={getattr(other, field)!r}" for field in differs)
    return " ".join(filter(None, ["" if kind == name else kind, said]))
