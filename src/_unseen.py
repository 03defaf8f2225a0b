"""Where the command `unseen` starts: what stops it is heeded before the package, which takes
seconds, is imported.
"""

import os
import signal

STOPPING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def main() -> int:
    """Run the command line; until it can clean up there is nothing to clean, and a signal ends the
    process at once.
    """
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as below nohup
            signal.signal(number, lambda stopped, _: os._exit(128 + stopped))
    from unseen.cli.main import main as run

    return run()
