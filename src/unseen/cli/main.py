"""The command line: each command reads a source, does one thing, and shows what came of it.

Results go to standard output; errors, notes and progress to standard error.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from unseen._version import __version__
from unseen.cli import (
    exporting,
    flags,
    labelling,
    measuring,
    scoring,
    serving,
    storing,
    training,
    watching,
)
from unseen.cli.terminal import complain, err, noted, stoppable
from unseen.errors import UnseenError
from unseen.quiet import quiet
from unseen.wording import typed

FILES = ("--out", "--test", "--data")  # flags that take a file
DONE, WRONG, DRIFT = 0, 2, 3  # exit status; of what stopped it 128 + the number of the signal
EXITS = f"""Exit status:
  {DONE}    done
  {WRONG}    an error that you can put right: the last line says how
  {DRIFT}    drift, of the command drift alone
  130, 143, 129  stopped by Ctrl-C, SIGTERM or SIGHUP; nothing unfinished is left
  141  whoever read standard output had seen enough
  1    a fault of unseen itself: report it with what is printed
"""

app = App(
    name="unseen",
    help=(
        "Detects anomalies, also of kinds that nobody has labelled yet, and says how blind "
        "it still is."
    ),
    help_format="plaintext",
    help_epilogue=EXITS,
    version=__version__,
    default_parameter=Parameter(
        consume_multiple=True, negative=(), show_default=flags.typed_default
    ),
    error_console=err,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
for module in (training, scoring, measuring, watching, labelling, exporting, serving, storing):
    app.update(module.commands)


app.meta.suppress_keyboard_interrupt = False


@app.meta.default
def _heeding(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    silent: Annotated[
        bool, Parameter(name="--quiet", help="nothing on standard error but errors")
    ] = False,
) -> int:
    """Run a command with the flags that all commands have."""
    with quiet(silent), noted():
        return DRIFT if app(words) else DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, and return its exit status, one of `EXITS`."""
    try:
        with stoppable(), typed():
            return int(app.meta(paths(sys.argv[1:] if argv is None else argv)) or DONE)
    except CycloptsError:  # has been shown
        return WRONG
    except UnseenError as error:
        complain(f"error: {error}")
        return WRONG
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
        f"./{word}" if word == "-" and (flag in FILES or flag[:1] != "-") else word
        for flag, word in pairs
    ]


if __name__ == "__main__":
    sys.exit(main())
