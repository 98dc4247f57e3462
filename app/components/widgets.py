"""Streamlit's widgets as all pages use them."""

from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Literal

import streamlit as st

from app.state import Settings

_KINDS = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
    ".zip": "application/zip",
}


def bound(
    widget: Callable[..., Any],
    label: str,
    *arguments: Any,
    key: str,
    value: Any,
    choose: Callable[[Any], object],
    **options: Any,
) -> None:
    """Show a widget that stands where our own state does.

    Args:
        widget: Streamlit's.
        label: of it.
        arguments: further ones of the widget.
        key: unique on the page.
        value: where it stands.
        choose: told the value that it is set to.
        options: further ones of the widget.
    """
    st.session_state[key] = value
    widget(label, *arguments, key=key, on_change=lambda: choose(st.session_state[key]), **options)


def setting(
    settings: Settings[Any],
    field: str,
    widget: Callable[..., Any],
    label: str,
    *arguments: Any,
    **options: Any,
) -> None:
    """Show the widget of one field of a page's settings.

    Args:
        settings: of the page.
        field: of them.
        widget: Streamlit's.
        label: of it.
        arguments: further ones of the widget.
        options: further ones of the widget.
    """
    bound(
        widget,
        label,
        *arguments,
        key=f"{settings.name}-{field}",
        value=getattr(settings.now, field),
        choose=lambda value: settings.change(**{field: value}),
        **options,
    )


def save_button(
    label: str,
    content: str | bytes,
    file_name: str,
    help: str | None = None,
    width: Literal["stretch", "content"] = "content",
) -> None:
    """Show a button that saves ``content``; nothing else on the page moves.

    The content is there before the click: Streamlit can also make it afterwards, but when it is
    to do so while the page still runs, no answer comes and the button turns forever.
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


def page_turner(number: int, pages: int, choose: Callable[[int], None], *, key: str) -> None:
    """Show which page of a long list this is, and turn to others; nothing for a single page.

    Args:
        number: of the page, from 0.
        pages: how many there are.
        choose: told the page to turn to, counted from 1.
        key: of the field with the number; unique on the page.
    """
    if pages == 1:
        return

    def turn(title: str, side: Literal["left", "right"], to: int, disabled: bool) -> None:
        st.button(
            title,
            icon=f":material/chevron_{side}:",
            icon_position=side,
            key=f"{key}-{title.lower()}",
            disabled=disabled,
            on_click=choose,
            args=(to,),
        )

    with st.container(horizontal=True, vertical_alignment="center"):
        turn("Previous", "left", number, number == 0)
        bound(
            st.number_input,
            "Page",
            1,
            pages,
            key=key,
            value=number + 1,
            choose=choose,
            label_visibility="collapsed",
            width=130,
            help=f"Which of {pages} pages to show.",
        )
        st.markdown(f"of {pages:,}", width="content")
        turn("Next", "right", number + 2, number == pages - 1)
