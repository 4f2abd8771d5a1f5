"""Makes ``python -m aiflow`` the command line."""

import sys

from aiflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
