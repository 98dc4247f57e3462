"""`python -m core`."""

import io
import sys

from core.cli.main import main

if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name may hold what cannot be encoded
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main())
