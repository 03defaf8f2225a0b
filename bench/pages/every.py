"""Pages and plots from all results that there are.

python -m bench pages                            # docs/benchmarks
python -m bench pages --results quick --out quick --only open-set
"""

from pathlib import Path

from bench.pages import contamination, domains, growth, images, open_set, validity, why
from bench.runs.command import FOLDER, options

PAGES = {  # page -> its results, its maker: (Parquet file, folder of plots) -> text
    "open-set": ("side_by_side", open_set.open_set),
    "labels": ("side_by_side", open_set.labels),
    "why": ("side_by_side", why.why),
    "growth": ("growth", growth.growth),
    "adbench": ("adbench", open_set.adbench),
    "contamination": ("contamination", contamination.contamination),
    "domains": ("domains", domains.domains),
    "images": ("images", images.images),
    "validity": ("validity", validity.validity),
}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the Parquet files")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of pages and plots")
    parser.add_argument("--only", nargs="+", choices=PAGES, default=list(PAGES))
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in chosen.only:
        source, page = PAGES[name]
        results = chosen.results / f"{source}.parquet"
        if results.exists():
            (chosen.out / f"{name}.md").write_text(page(results, chosen.out))
            print(f"written to {chosen.out / name}.md")
