"""`python -m lmcompress` is the same as `lmcompress`."""

import sys

from lmcompress.cli.main import main

sys.exit(main())
