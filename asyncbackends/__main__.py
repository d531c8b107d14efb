"""``python -m asyncbackends``."""

import sys

from asyncbackends.cli import main

__all__ = ()

if __name__ == "__main__":
    sys.exit(main())
