"""The command line: each command reads a source, does one thing, and shows what came of it.

Results go to standard output, notes and progress to standard error.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

from cyclopts import App, CycloptsError, Parameter

from unseen._version import __version__
from unseen.cli import flags, labelling, measuring, scoring, training, watching
from unseen.cli.terminal import complain, err, noted, stoppable
from unseen.errors import UnseenError
from unseen.wording import typed

app = App(
    name="unseen",
    help=(
        "Detects anomalies, also of kinds that nobody has labelled yet, and says how blind "
        "it still is."
    ),
    help_format="plaintext",
    version=__version__,
    default_parameter=Parameter(
        consume_multiple=True, negative=(), show_default=flags.typed_default
    ),
    error_console=err,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
for module in (training, scoring, measuring, watching, labelling):
    app.update(module.commands)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; 0, 2 for what its user can put right, 3 for drift, or 128 + the number of
    a signal that stopped it.
    """
    try:
        with stoppable(), noted(), typed():
            return app(paths(sys.argv[1:] if argv is None else argv)) or 0
    except CycloptsError:  # has been shown
        return 2
    except UnseenError as error:
        complain(f"error: {error}")
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        # nothing is left to be said at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # the terminal may be gone
            complain("interrupted; nothing unfinished is left")
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)


def paths(argv: Sequence[str]) -> list[str]:
    """The words of a command line, where - for a path is spelled as the parser takes it: not for a
    flag.
    """
    pairs = pairwise(["", *argv])
    return [
        f"./{word}" if word == "-" and (flag in ("--out", "--test") or flag[:1] != "-") else word
        for flag, word in pairs
    ]


if __name__ == "__main__":
    sys.exit(main())
