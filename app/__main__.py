"""The process of the explorer's web server: `streamlit run`, ended by SIGTERM as by Ctrl-C.

The server hands the signal on once it has shut down. Without somebody to take it, that ends the
process at once, and what is kept on the disk while it runs would stay there.
"""

import sys

from click import Abort
from streamlit.web.cli import main

from core.cli.options import ended_by
from core.cli.streams import prepare_process


def serve() -> int:
    """Run Streamlit's command line with this process's arguments; return the exit status."""
    prepare_process()
    try:
        main(prog_name="streamlit", standalone_mode=False)
    except Abort as error:
        return ended_by(error.__cause__ or error)
    return 0


if __name__ == "__main__":
    sys.exit(serve())
