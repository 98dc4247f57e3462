"""The pages, one file each.

The folder cannot be called `pages`: beside the script that Streamlit runs, one of that name makes
it run each file as a page of its own, until a visitor happens to come by the front page.
"""

from importlib import import_module

import streamlit as st
from streamlit.navigation.page import StreamlitPage

PAGES = {
    "playground": ("Playground", "science"),
    "present": ("Present", "slideshow"),
    "thresholds": ("Thresholds", "tune"),
    "samples": ("Samples", "grid_view"),
    "compare": ("Compare", "compare"),
    "train": ("Train", "model_training"),
    "edge_cloud": ("Edge and cloud", "cloud"),
    "learn": ("Learn", "school"),
    "model": ("Model", "schema"),
}
"""Titles and icons by the names of the files. The first page is the front page."""


def page(name: str) -> StreamlitPage:
    """Return a page by the name of its file, for Streamlit to list or to go to."""
    title, icon = PAGES[name]
    front = name == next(iter(PAGES))
    return st.Page(
        import_module(f"app.views.{name}").page,
        title=title,
        icon=f":material/{icon}:",
        url_path=None if front else name.replace("_", "-"),
        default=front,
    )
