"""`python -m bench NAME ...` runs a study, or `pages`; without a name it lists them."""

import importlib
import sys
from pathlib import Path

STUDIES = sorted(path.stem for path in (Path(__file__).parent / "studies").glob("[a-z]*.py"))
PLACES = {name: f"bench.studies.{name}" for name in STUDIES} | {"pages": "bench.pages.every"}


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in PLACES:
        sys.argv[:2] = [f"bench {name}"]
        importlib.import_module(PLACES[name]).main()
        return
    for each, place in PLACES.items():
        doc = importlib.import_module(place).__doc__ or ""
        print(f"python -m bench {each:14} {doc.splitlines()[0]}")
    raise SystemExit(f"no study {name!r}" if name else 0)


if __name__ == "__main__":
    main()
