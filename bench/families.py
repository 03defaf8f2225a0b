"""Families of methods, and what each has to beat: the simplest method of its kind."""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    """What its methods have in common, the simplest of them or of their kind, and their names, simplest first."""

    words: str
    baseline: str
    names: tuple[str, ...]


FAMILIES = {
    "default": Family("What `Detector()` and `unseen fit` use.", "nearest-ratio", ("evidence-stack",)),
    "label-free": Family(
        "They learn what is normal, and use no labelled anomaly.",
        "mahalanobis",
        (
            "mahalanobis",
            "nearest",
            "isolation-forest",
            "autoencoder",
            "ssae",
            "dmad",
            "flow",
            "deep-svdd",
            "con2",
        ),
    ),
    "few-shot": Family(
        "They learn from a few labelled anomalies beside the normal rows.",
        "nearest-ratio",
        (
            "nearest-ratio",
            "logistic",
            "forest",
            "devnet",
            "flos",
            "continuous-labels",
            "prenet",
            "deep-sad",
            "prn",
            "saliency-cut",
            "aa-vae",
            "lis-ae",
            "flow-ratio",
            "cl-flow",
            "simplenet",
            "dplan",
        ),
    ),
    "meta-learning": Family(
        "They learn from tasks in which anomaly classes are hidden in turn, so that they do well on new ones.",
        "nearest-ratio",
        ("multi-directional", "maml", "ahl", "meta-occ"),
    ),
    "strategies": Family(
        "They train another method in another way, and have to beat the method that they wrap.",
        "nearest-ratio",
        ("comet", "kka", "ensemble"),
    ),
    "domains": Family(
        "They know several kinds of normal row, such as products, machines or tenants.",
        "mahalanobis",
        ("fecam", "dcc", "duq", "csad", "resad", "resad-pp"),
    ),
}
MORE = {  # method -> where more stands than a docstring holds
    "evidence-stack": " More: [its evidence, what it does with few labels, and how it was chosen](../default.md).",
    "multi-directional": " More: [both levels, the literal recipe, what each part adds](../multi-directional.md).",
    "devnet": " More: [the paper's own benchmark, run again](../results.md#devnet-as-published).",
}
