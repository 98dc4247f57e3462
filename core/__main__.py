"""`python -m core`, and the command `early-exit`."""

import io
import sys

from core.cli.main import main


def run() -> int:
    """Run this process's command line; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name may hold what cannot be encoded
            stream.reconfigure(errors="backslashreplace")
    return main()


if __name__ == "__main__":
    sys.exit(run())
