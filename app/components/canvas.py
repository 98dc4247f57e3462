"""A blackboard to draw a digit on."""

import base64
import binascii
from collections.abc import Callable

from app.components.mount import component

_PREFIX = "data:image/png;base64,"
_show = component("canvas")


def canvas(on_drawing: Callable[[bytes | None], None]) -> None:
    """Show the blackboard; ``on_drawing`` gets a PNG after each stroke, None when it is wiped."""
    _show(
        "canvas",
        {"label": "Draw a digit here, white on black", "clear": "Wipe"},
        drawn=lambda value: on_drawing(png_of(value)),
    )


def png_of(uri: object) -> bytes | None:
    """Return the bytes inside a PNG's URI; None for anything else, as a browser sends anything."""
    if not isinstance(uri, str) or not uri.startswith(_PREFIX):
        return None
    try:
        return base64.b64decode(uri.removeprefix(_PREFIX), validate=True) or None
    except binascii.Error:
        return None
