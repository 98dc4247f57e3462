"""Something in the background that a visitor waits for: how far it is, and a way to call it off."""

from typing import Any

import streamlit as st

from core.foundation.jobs import Job

EVERY = 0.5  # seconds between two looks


def waiting(job: Job[Any], cancel: str, note: str) -> None:
    """Show a job that runs; when it is done, the page runs anew.

    Args:
        job: that runs.
        cancel: on the button that calls it off.
        note: on that button, what then happens.
    """
    st.fragment(_watch, run_every=EVERY)(job, cancel, note)


def _watch(job: Job[Any], cancel: str, note: str) -> None:
    if not job.running:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(job.fraction, job.message or "Getting ready …")
        st.button(
            "Stopping …" if job.stopping else cancel,
            icon=":material/close:",
            key="call-off",
            disabled=job.stopping,
            on_click=job.stop,
            help=note,
        )
