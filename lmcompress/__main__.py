"""`python -m lmcompress` is the same as `lmcompress`."""

import sys

from lmcompress.cli import main

sys.exit(main())
