"""`python -m runware_nb`: the same as `runware-nb`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
