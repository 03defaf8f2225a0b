"""Put what the examples printed into the tutorial: `make tutorial` runs them and then this."""

import re
import sys
from pathlib import Path

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial"
PAGE, DECISION = TUTORIAL / "table.md", TUTORIAL / "decision.md"
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


def quote_each(page, printed):
    """The page with each block of commands replaced by what was printed from its first command on,
    up to the first command of the next block.
    """
    starts = re.findall(r"^```text\n(\$ unseen \w+(?: m\d?(?= |$))?)", page, flags=re.MULTILINE)
    for start, after in zip(starts, [*starts[1:], None], strict=True):
        first = printed.index(start)
        last = printed.index(after, first + 1) if after else len(printed)
        text = printed[first:last].rstrip()
        pattern = rf"(?<=```text\n){re.escape(start)}.*?(?=\n```)"
        page = re.sub(pattern, lambda _, text=text: text, page, count=1, flags=re.DOTALL)
        printed = printed[last:]
    return page


if __name__ == "__main__":
    demo, decision = (Path(name).read_text() for name in sys.argv[1:])
    PAGE.write_text(quote(PAGE.read_text(), quotable(demo)))
    DECISION.write_text(quote_each(DECISION.read_text(), decision))
