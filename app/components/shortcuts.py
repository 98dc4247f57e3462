"""What the keyboard can do: listed by a button at the top of every page, or by pressing "?"."""

import streamlit as st

from app.components.mount import component

_show = component("shortcuts")
KEYS = (
    (
        "Playground and Present: which sample, or which of your images",
        (
            (("N",), "next"),
            (("P",), "previous"),
            (("A",), "any, at random"),
        ),
    ),
    (
        "Present",
        (
            (("Space",), "play, pause"),
            ((".",), "one step"),
            (("R",), "reveal what it is"),
            (("G",), "guess first"),
            (("+", "−"), "more careful, quicker"),
            (("M",), "next network"),
            (("F",), "full screen"),
            (("Page down", "Page up"), "the tour: on, back"),
        ),
    ),
    (
        "A threshold, after Tab or a click on its slider",
        (
            (("←", "→"), "by 0.001"),
            (("Shift ←", "Shift →"), "by 0.01"),
            (("Page down", "Page up"), "by 0.05"),
            (("Home", "End"), "to 0, to 1"),
        ),
    ),
    (
        "Everywhere",
        (
            (("Tab",), "on to the next control"),
            (("←", "→"), "in a row of pictures: the one beside"),
            (("Enter", "Space"), "press it"),
            (("?",), "show or hide this list"),
            (("Esc",), "close what is open"),
        ),
    ),
)


def shortcuts() -> None:
    """Put the button on the page; its list opens in the browser, without a rerun."""
    with st.container(key="shortcuts"):
        _show("shortcut-list", {"groups": KEYS})
