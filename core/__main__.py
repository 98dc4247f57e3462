"""`python -m core`, and the command `early-exit`."""

import sys

from core.cli.main import main
from core.cli.streams import prepare_process


def run() -> int:
    """Run this process's command line; return the exit status."""
    prepare_process()
    return main()


if __name__ == "__main__":
    sys.exit(run())
