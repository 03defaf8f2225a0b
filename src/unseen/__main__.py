"""`python -m unseen`."""

import sys

from unseen.cli import main

sys.exit(main())
