"""The model to take elsewhere: an exported bundle, and the time of its stages by runtime."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from app import resources, text
from app.components.errors import sentences
from app.components.html import Column, Row, section, table
from app.components.widgets import save_button
from app.state import View
from core.hub.card import Card

if TYPE_CHECKING:
    from core.deploy.benchmark import StageTimes

_BUNDLE, _TIMES = "bundle", "stage-times"


def elsewhere(view: View, card: Card) -> None:
    """Offer the model with its policy as a bundle, and to time its stages in every runtime."""
    st.html(
        section(
            "Take it elsewhere",
            "The network with the policy of all pages, as ONNX files that need neither this "
            "project nor torch: one per stage, a manifest, and a small router in Python that runs "
            "each stage only for the images that are still inside.",
        )
    )
    model = (view.model, card.sha256)
    kept = st.session_state.get(_TIMES, {}).get(model, ())
    if kept:
        st.html(table(_columns(kept), _rows(card, kept)))
    with st.container(horizontal=True, vertical_alignment="center"), sentences():
        if st.session_state.get(_BUNDLE) == (model, view.policy):
            save_button(
                "Download the bundle",
                resources.bundle(view.model, view.policy),
                f"{view.model}.zip",
                help="Unpack it, then `python run.py PICTURE`, with numpy, onnxruntime and pillow.",
            )
        elif st.button(
            "Make the bundle",
            icon=":material/package_2:",
            help="A few seconds. `python -m core export` does the same, and has more: 8-bit "
            "integers, the network in one file, a Triton model repository.",
        ):
            resources.bundle(view.model, view.policy)
            st.session_state[_BUNDLE] = (model, view.policy)
            st.rerun()
        if st.button(
            "Time the stages again" if kept else "Time the stages by runtime",
            icon=":material/timer:",
            help="Runs every stage with its head by itself in every runtime that is installed on "
            "the machine that shows this page (PyTorch, ONNX Runtime, OpenVINO), in turns, and "
            "takes medians. A few seconds.",
        ):
            with st.spinner("Timing every stage, in turns …"):
                times = resources.stage_times(view.model)
            st.session_state[_TIMES] = {model: times}
            st.rerun()


def _columns(times: "Sequence[StageTimes]") -> list[Column]:
    runtimes = (f"{one.runtime}, {one.precision}" for one in times)
    measured = "Median wall time of one image at a time, measured on this machine."
    return [Column("Stage with its head"), *(Column(runtime, measured) for runtime in runtimes)]


def _rows(card: Card, times: "Sequence[StageTimes]") -> list[Row]:
    return [
        Row(
            [
                f"Stage {index + 1}, {text.exit_name(index, card.num_exits).lower()}",
                *(text.brief(one.stages[index]) for one in times),
            ]
        )
        for index in range(card.num_exits)
    ]
