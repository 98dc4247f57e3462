"""Work in the background that a visitor waits for, and data sets that can be downloaded by it."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

import streamlit as st

from app import resources, text
from app.components.errors import sentences, show_mistake
from app.public import shown
from core.data.sources import can_download
from core.foundation.jobs import Job
from core.foundation.public import is_public

EVERY = 0.5  # seconds between two looks
SOON = 0.4  # seconds in which small networks are done
Result = TypeVar("Result")


def waiting(job: Job[Any], cancel: str, note: str) -> None:
    """Show a job that runs; when it is done, the page runs anew.

    Args:
        job: that runs.
        cancel: on the button that calls it off.
        note: on that button, what then happens.
    """
    st.fragment(_watch, run_every=EVERY)(job, cancel, note)


def on_demand(
    kept: str, key: Hashable, label: str, help: str, begin: Callable[[], Job[Result]]
) -> Job[Result] | None:
    """Offer work that a visitor has to want, and show it while it runs.

    Args:
        kept: name under which the session keeps the job.
        key: of what it is done for; for anything else it is offered anew.
        label: of the button.
        help: on that button, what it costs.
        begin: starts the job.

    Returns:
        The job once it is finished, else None.
    """

    def start() -> None:
        st.session_state[kept] = (key, begin())

    wanted, job = st.session_state.get(kept, (None, None))
    if job is None or wanted != key:
        st.button(label, icon=":material/manage_search:", on_click=start, help=help)
        return None
    job.wait(SOON)
    if job.running:
        waiting(job, "Cancel", "Leaves it.")
    elif job.mistake:
        show_mistake(job.mistake)
    elif job.stage == "finished":
        return cast("Job[Result]", job)
    else:  # called off
        del st.session_state[kept]
        st.rerun()
    return None


def rerun_when_done(job: Job[Any]) -> None:
    """Have the page run anew once a job is done, without a sign of it until then."""
    if job.running:
        st.fragment(_rerun_if_done, run_every=EVERY)(job)


def _rerun_if_done(job: Job[Any]) -> None:
    if not job.running:
        st.rerun()


def _watch(job: Job[Any], cancel: str, note: str) -> None:
    _rerun_if_done(job)
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


def download(dataset: str, missing: str) -> None:
    """Say that images are missing, and offer to download them where that can be done.

    Args:
        dataset: whose images they are.
        missing: a sentence that says so.
    """
    downloads = resources.downloads()
    job = downloads.of(dataset)
    st.info(shown(missing), icon=":material/photo_library:")
    if is_public():  # what the server has is the operator's choice
        return
    if job is not None and job.running:
        waiting(
            job,
            "Cancel the download",
            "Cancels it for all visitors of this server. No incomplete file is left.",
        )
        return
    if job is not None and job.stage == "failed":
        show_mistake(job.mistake)
    if can_download(dataset) and st.button(
        f"Download {text.dataset(dataset)}",
        icon=":material/cloud_download:",
        help="To the machine that this page comes from, once for all its visitors. You may look at "
        "other pages meanwhile.",
    ):
        with sentences():
            downloads.start(dataset)
            st.rerun()
