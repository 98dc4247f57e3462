"""Errors that the user can mend, in one sentence each."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """An error that the user can mend.

    The message is one sentence: the argument, what was expected, what it got, what to do. The
    command line prints it and exits with status 2; the app shows it and goes on.
    """


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name closest to ``name``, else ``""``."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
