"""`python -m bench NAME ...` runs a study, or `pages`; without a name it lists them."""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
PLACES = {path.stem: path for path in sorted((HERE / "studies").glob("[a-z]*.py"))}
PLACES["pages"] = HERE / "pages" / "every.py"


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in PLACES:
        sys.argv[:2] = [f"bench {name}"]
        importlib.import_module(f"bench.{PLACES[name].parent.name}.{PLACES[name].stem}").main()
        return
    for each, path in PLACES.items():
        line = path.read_text().splitlines()[0].strip('"')
        print(f"python -m bench {each:14} {line}")
    raise SystemExit(f"no study {name!r}" if name else 0)


if __name__ == "__main__":
    main()
