"""A file for each question; `python -m bench NAME` answers it."""

import sys

if sys.argv[0] == "-m":  # python -m bench NAME
    raise SystemExit(f"python -m bench {sys.orig_argv[2].rpartition('.')[2]} runs this study")
