"""JavaScript components: each is NAME.js in the folder `js`, with NAME.css where it has a style."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

_FOLDER = Path(__file__).parent / "js"


def component(
    name: str, uses: Sequence[str] = (), style: str | None = None, **layout: Any
) -> Callable[..., None]:
    """Register a component; return the function that shows it.

    Without a style sheet of its own, a component is part of the page and takes the page's style.

    Args:
        name: of its files.
        uses: names of scripts that come before its own.
        style: name of its style sheet; None: its own.
        layout: further arguments of Streamlit's, such as ``height``.

    Returns:
        ``show(key, data, **listeners)``: ``data`` is JSON or bytes, and each listener gets the
        value that JavaScript sets under the listener's name. A browser can send anything, so
        listeners check what they get.
    """
    script = "".join((_FOLDER / f"{part}.js").read_text("utf-8") for part in ("make", *uses, name))
    sheet = _FOLDER / f"{style or name}.css"
    own_style = sheet.is_file()
    mounted = st.components.v2.component(
        f"early_exit_{name}",
        js=script,
        css=sheet.read_text("utf-8") if own_style else None,
        isolate_styles=own_style,
    )

    def show(key: str, data: Any, **listeners: Callable[[Any], None]) -> None:
        callbacks: dict[str, Any] = {
            f"on_{event}_change": partial(_hear, key, event, listener)
            for event, listener in listeners.items()
        }
        mounted(key=key, data=data, **layout, **callbacks)

    return show


def _hear(key: str, event: str, listener: Callable[[Any], None]) -> None:
    listener(getattr(st.session_state[key], event))
