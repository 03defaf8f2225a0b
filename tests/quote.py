"""Put what the demo printed into the tutorial: `make tutorial` runs the demo and then this."""

import re
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "tutorial" / "table.md"
FULL = "evidence-stack"  # the one method whose classes are shown one by one


def quotable(log):
    """What the demo printed from its first command on, without the class tables of the other
    methods, and with each note once.
    """
    lines = [line.rstrip() for line in log[log.index("$ unseen fit") :].splitlines()]
    kept, left_out = [], False
    for line in lines:
        if line.startswith("Unseen classes one by one"):
            if FULL not in line and not left_out:
                kept += ["...", ""]
            left_out = FULL not in line
        elif line.startswith("written to demo/evaluation.json"):
            left_out = False
        if not left_out and not (line.startswith("note:") and line in kept):
            kept.append(line)
        if line.startswith("In demo/"):
            break
    return "\n".join(kept)


def quote(page, text):
    """The page with its block of demo output replaced."""
    return re.sub(
        r"(?<=```text\n)\$ unseen fit.*?(?=\n```)", lambda _: text, page, count=1, flags=re.DOTALL
    )


if __name__ == "__main__":
    PAGE.write_text(quote(PAGE.read_text(), quotable(Path(sys.argv[1]).read_text())))
