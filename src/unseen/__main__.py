"""`python -m unseen`."""

import sys

from _unseen import main

sys.exit(main())
