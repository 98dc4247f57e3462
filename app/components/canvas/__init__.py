"""A blackboard to draw a digit on."""

import base64
import binascii
from collections.abc import Callable
from pathlib import Path

import streamlit as st

KEY = "canvas"
_PREFIX = "data:image/png;base64,"
_mount = st.components.v2.component(
    "early_exit_canvas",
    js=Path(__file__).with_name("canvas.js").read_text("utf-8"),
    isolate_styles=False,
)


def canvas(on_drawing: Callable[[bytes | None], None]) -> None:
    """Show the blackboard; ``on_drawing`` gets a PNG after each stroke, None when it is wiped."""

    def drawn() -> None:
        on_drawing(png_of(st.session_state[KEY].drawn))

    _mount(
        key=KEY,
        data={"label": "Draw a digit here, white on black", "clear": "Wipe"},
        on_drawn_change=drawn,
    )


def png_of(uri: object) -> bytes | None:
    """Return the bytes inside a PNG's URI; None for anything else, as a browser sends anything."""
    if not isinstance(uri, str) or not uri.startswith(_PREFIX):
        return None
    try:
        return base64.b64decode(uri.removeprefix(_PREFIX), validate=True) or None
    except binascii.Error:
        return None
