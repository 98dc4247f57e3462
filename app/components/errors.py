"""Whatever goes wrong becomes a sentence, and the app goes on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from app import text
from app.public import shown
from core.foundation.errors import UserError

_log = logging.getLogger(__name__)


def show_mistake(sentence: str) -> None:
    """Show what went wrong, without paths of this machine where strangers visit."""
    st.error(text.told(shown(sentence)), icon=":material/error:")


@contextmanager
def sentences() -> Iterator[None]:
    """Show a mistake as its sentence, and a fault of ours as an apology; the log has the rest."""
    try:
        yield
    except UserError as error:
        show_mistake(str(error))
    except Exception:
        _log.exception("a page failed")
        show_mistake(
            "Something went wrong on our side, and it has been written to the log. "
            "Choose another model or sample, or reload the page; your link still works."
        )
