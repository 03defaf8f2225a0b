"""All methods on the same rows, seeds and labels of the open-set protocol.

python -m bench side_by_side --cells all                # method by method, fast peers first
python -m bench side_by_side --methods ours --seeds 5   # the headline cell: 3 classes x 10
python -m bench side_by_side --sets digits --methods catboost --cells 1x1x0 3x10x0.05
"""

import argparse

import pyarrow as pa

from bench.data.sets import SETS
from bench.runs import open_set
from bench.runs.command import finish, resumable
from bench.runs.entrants import ENTRANTS, OURS, PEERS, installed
from bench.runs.open_set import HEADLINE, ROLES
from bench.runs.store import SPENT, STAMPS, TEXT, WHOLE, Record, Store, schema
from unseen import Protocol
from unseen.evaluation.metrics import FIGURES

CELLS = [(seen, n, dirt) for dirt in (0.0, 0.05) for seen in (3, 1, 5) for n in (10, 1, 5)]
GROUPS = {
    "all": list(ENTRANTS),
    "ours": list(OURS),
    "peers": list(PEERS),
    "label-free": [name for name, entrant in ENTRANTS.items() if not entrant.uses_labels],
}
KEY = ("set", "seed", "seen", "shots", "contamination", "method", "version")
ONE_CLASS = [("class", TEXT), ("role", TEXT), ("rows", WHOLE)]
ONE_CLASS += [(name, pa.float32()) for name in FIGURES[:-1]]
MEANS = [f"{role}_{name}" for role in ROLES for name in FIGURES]
SCHEMA = schema(
    text=["set", "method", "version", "error", *STAMPS],
    whole=["seed", "seen", "shots", "train_rows", "labelled_rows", "test_rows"],
    real=["contamination", *MEANS, *SPENT],
    classes=pa.list_(pa.struct(ONE_CLASS)),
)


def main() -> None:
    parser = resumable(__doc__, "side_by_side.parquet")
    add = parser.add_argument
    add("--sets", nargs="+", choices=SETS, default=list(SETS))
    add("--methods", nargs="+", choices=[*GROUPS, *ENTRANTS], default=["all"])
    add("--seeds", type=int, default=Protocol.seeds)
    shape = "SEENxSHOTSxCONTAMINATION, as in 3x10x0, or all"
    add("--cells", nargs="+", type=cells, default=[[HEADLINE]], help=shape)
    chosen = parser.parse_args()
    names = dict.fromkeys(name for word in chosen.methods for name in GROUPS.get(word, [word]))
    jobs = [
        dict(zip(KEY, (data, seed, *cell, name, ENTRANTS[name].version()), strict=True))
        for cell in dict.fromkeys(cell for group in chosen.cells for cell in group)
        for name in installed(list(names))
        for data in chosen.sets
        for seed in range(chosen.seeds)
    ]
    finish(Store(chosen.out, SCHEMA, KEY), jobs, one_run, chosen)


def cells(text: str) -> list[tuple[int, int, float]]:
    """The cells of the grid that a word of the command line stands for."""
    if text == "all":
        return CELLS
    try:
        seen, shots, contamination = text.split("x")
        return [(int(seen), int(shots), float(contamination))]
    except ValueError as error:
        words = f"expected SEENxSHOTSxCONTAMINATION, as in 3x10x0, got {text!r}"
        raise argparse.ArgumentTypeError(words) from error


def one_run(job: Record) -> Record:
    cell = {name: job[name] for name in ("seen", "shots", "contamination")}
    return open_set.run(ENTRANTS[job["method"]], job["set"], Protocol(**cell), job["seed"])
