"""What surrounds every page: a link past the navigation, and an address that Back understands."""

import streamlit as st

from app.components.mount import component

_show = component("surroundings")


def surroundings() -> None:
    """Put them around the page."""
    with st.container(key="surroundings"):
        _show("around-the-page", {"skip": "Skip to the content"})
