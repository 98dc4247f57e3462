"""A data set that is not on the disk: the offer to download it, and how far that is."""

import streamlit as st

from app import resources, text
from app.components.errors import sentences
from app.components.waiting import waiting
from core.data.sources import can_download


def fetching(dataset: str, missing: str) -> None:
    """Say that images are missing, and offer to download them where that can be done.

    Args:
        dataset: whose images they are.
        missing: a sentence that says so.
    """
    downloads = resources.downloads()
    job = downloads.of(dataset)
    st.info(missing, icon=":material/photo_library:")
    if job is not None and job.running:
        waiting(
            job,
            "Cancel the download",
            "Ends it for everybody on this server who waits for it. Nothing half-made is left.",
        )
        return
    if job is not None and job.stage == "failed":
        st.error(job.mistake, icon=":material/error:")
    if not can_download(dataset):
        return
    clicked = st.button(
        f"Download {text.dataset(dataset)}",
        icon=":material/cloud_download:",
        help="To the machine that this page comes from, once for all its visitors. You may look at "
        "other pages meanwhile.",
    )
    if clicked:
        with sentences():
            downloads.start(dataset)
            st.rerun()
