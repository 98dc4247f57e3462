"""What a visitor takes home as a file."""

from pathlib import PurePath
from typing import Literal

import streamlit as st

_KINDS = {".csv": "text/csv", ".json": "application/json", ".zip": "application/zip"}


def save_button(
    label: str,
    content: str | bytes,
    file_name: str,
    help: str | None = None,
    width: Literal["stretch", "content"] = "content",
) -> None:
    """Show a button that saves ``content``; nothing else on the page moves.

    The content is there before the click: Streamlit can also make it afterwards, but when it is
    asked while the page still runs, no answer comes and the button turns forever.
    """
    st.download_button(
        label,
        content,
        file_name=file_name,
        mime=_KINDS[PurePath(file_name).suffix],
        icon=":material/download:",
        on_click="ignore",
        help=help,
        width=width,
    )
