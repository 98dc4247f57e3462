"""Images of a visitor's own, many at once: how they get here, and what came of them."""

from functools import partial
from html import escape

import streamlit as st

from app import resources, text
from app.components.background import waiting
from app.components.errors import show_mistake
from app.components.html import box, section
from app.components.model_choice import open_buttons
from app.sample_sources import OwnImages, readable_folder
from app.session import own_model_names
from core.data.archives import files_in_zip
from core.data.images import MAX_BYTES
from core.data.uploads import (
    MOST_BYTES,
    MOST_PICTURES,
    OwnPictures,
    files_in_folder,
    uploaded_files,
)
from core.foundation.files import no_formula
from core.hub.card import Card

_MEGABYTES = MOST_BYTES // 2**20
_MOST_REASONS, _MOST_CHANGES = 200, 4
MOST_SEED = 9999
_KINDS = {"zip": "A zip", "folder": "A folder", "path": "A path on the server"}


def own_images_panel(model: str, card: Card, mine: OwnImages) -> None:
    """Show what there is to do before images can be looked at, or what came of them.

    Args:
        model: that is to score them.
        card: of that model.
        mine: the session's own images, settled.
    """
    if mine.job is not None:
        _under_way(mine)
        return
    if mine.mistake:
        show_mistake(mine.mistake)
    scored = mine.scored_by(model)
    if scored is not None:
        _summary(mine, scored.pictures)
        with st.container(horizontal=True):
            _others(mine)
            if card.num_exits > 1 and mine.splitting is None:
                _divide(model, mine, scored.pictures.labelled)
        _divided(mine)
        return
    if mine.collection is not None:
        _again(model, card, mine)
        return
    _bring(model, card, mine)


def _under_way(mine: OwnImages) -> None:
    job = mine.job
    assert job is not None
    title = escape(resources.card_of(mine.model).title)
    st.html(section("Scoring your images", f"By every exit of {title}."))
    waiting(job, "Cancel", "Leave it; nothing is kept of what has been scored so far.")


def _again(model: str, card: Card, mine: OwnImages) -> None:
    assert mine.collection is not None
    count = text.plural(len(mine.collection), "image")
    st.html(
        section(
            f"{count} of {escape(mine.collection.called)}",
            f"Not scored by {escape(card.title)} yet.",
        )
    )
    with st.container(horizontal=True):
        st.button(
            "Score them with this model",
            type="primary",
            icon=":material/play_arrow:",
            on_click=mine.score,
            args=(model,),
            help="In the background: you may look at other pages meanwhile.",
        )
        _others(mine)


def _others(mine: OwnImages) -> None:
    st.button(
        "Bring other images",
        icon=":material/upload:",
        on_click=mine.forget,
        help="Lets go of these.",
    )


def _bring(model: str, card: Card, mine: OwnImages) -> None:
    side = card.spec.image_size
    st.html(
        section(
            "Bring your own images",
            f"Up to {MOST_PICTURES:,}, at most {_MEGABYTES} MB. The middle square of each is "
            f"scaled to the {side} × {side} pixels that this network reads.",
        )
    )
    root = readable_folder()
    kinds = [kind for kind in _KINDS if kind != "path" or root is not None]
    kind = st.segmented_control(
        "From",
        kinds,
        default="zip",
        required=True,
        key="own-kind",
        format_func=_KINDS.__getitem__,
        help="The operator of the server can open a folder of its disk with `$EENET_FOLDERS`.",
    )
    if kind == "path" and root is not None:
        _path(model, mine)
    elif kind == "folder":
        _folder(model, mine)
    else:
        _zip(model, mine)
    few = ", ".join(escape(name) for name in card.classes[:3])
    st.html(
        box(
            "Labels, if you have them",
            "Pictures in folders with the names of this network's classes "
            f"({few}, …; upper or lower case does not matter) get that label, and are right or "
            "wrong. All others have none: then you see where they leave, with which score, and "
            "whether the last exit agrees. The images stay in this session and are stored nowhere.",
            icon="◉",
        )
    )


def _zip(model: str, mine: OwnImages) -> None:
    key = f"own-zip-{mine.round}"

    def changed() -> None:
        file = st.session_state[key]
        if file is not None:
            mine.bring(partial(files_in_zip, file.getvalue(), file.name), model)

    st.file_uploader(
        "A zip of images",
        type="zip",
        key=key,
        on_change=changed,
        max_upload_size=_MEGABYTES,
        help="With folders inside, or without. It is read in memory; what is damaged or no picture "
        "is skipped, and said.",
    )


def _folder(model: str, mine: OwnImages) -> None:
    key = f"own-folder-{mine.round}"

    def changed() -> None:
        files = [(file.name, file.getvalue()) for file in st.session_state[key] or []]
        if files:
            mine.bring(partial(uploaded_files, files, "the folder"), model)

    st.file_uploader(
        "A folder of images",
        accept_multiple_files="directory",
        key=key,
        on_change=changed,
        max_upload_size=MAX_BYTES // 2**20,
        help="Of your own machine, with the folders in it; your browser asks before it sends them.",
    )


def _path(model: str, mine: OwnImages) -> None:
    root = readable_folder()
    assert root is not None

    def submitted() -> None:
        mine.bring(partial(files_in_folder, st.session_state["own-path"], root), model)

    with (
        st.form("own-path-form", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        st.text_input(
            f"Folder below {root}",
            key="own-path",
            placeholder="holiday/animals",
            help="On the machine that this page comes from. Links are not followed.",
        )
        st.form_submit_button("Score them", icon=":material/play_arrow:", on_click=submitted)


def _summary(mine: OwnImages, pictures: OwnPictures) -> None:
    assert mine.collection is not None
    notes = [_labels(pictures.labelled, len(pictures))]
    if pictures.strange_folders:
        named = ", ".join(
            f"{escape(name)} ({count:,})" for name, count in pictures.strange_folders[:6]
        )
        more = ", …" if len(pictures.strange_folders) > 6 else ""
        notes.append(f"Folders whose names are no class of this network: {named}{more}.")
    if pictures.exchanged:
        notes.append(
            f"Light and dark were exchanged in {pictures.exchanged:,}, as this network reads white "
            "on black."
        )
    if pictures.changed:
        told = " ".join(f"{note} ({count:,})" for note, count in pictures.changed[:_MOST_CHANGES])
        more = " …" if len(pictures.changed) > _MOST_CHANGES else ""
        notes.append(f"Some had to be changed to be read. {told}{more}")
    if mine.collection.litter:
        litter = text.plural(mine.collection.litter, "file")
        notes.append(f"{litter} of a system's own passed over.")
    if pictures.skipped:
        notes.append(f"{text.plural(len(pictures.skipped), 'file')} skipped, see below.")
    title = f"{text.plural(len(pictures), 'image')} of {mine.collection.called}"
    st.html(box(title, " ".join(notes), icon="▣"))
    if pictures.skipped:
        _skipped(pictures)


def _divide(model: str, mine: OwnImages, labelled: int) -> None:
    """Offer to choose thresholds on some of the images and to test them on the others."""
    from core.hub.own_splits import LEAST  # brings torch, as scoring did

    def divide() -> None:
        share, seed = st.session_state["own-share"] / 100, st.session_state["own-seed"]
        mine.divide(model, share, seed)

    with st.popover("Tune thresholds on them", icon=":material/tune:"):
        if labelled < 2 * LEAST:
            st.caption(
                f"It takes at least {2 * LEAST} images with a label, and hundreds to prove a small "
                f"loss; here are {labelled:,}."
            )
            return
        st.caption(
            f"The {labelled:,} labelled images are divided in two, of every class in the same "
            "proportion: **calibration** chooses the thresholds, **test** measures them. More for "
            "calibration proves a smaller loss, more for test measures it better."
        )
        st.slider(
            "For calibration",
            20,
            80,
            50,
            10,
            format="%d %%",
            key="own-share",
            help="Of the labelled images; the others are for test.",
        )
        st.number_input(
            "Seed",
            0,
            MOST_SEED,
            key="own-seed",
            help="Of the draw: the same seed divides the same images alike.",
        )
        st.button(
            "Divide them",
            icon=":material/call_split:",
            type="primary",
            on_click=divide,
            help="In the background: also scores them by the plain network, the yardstick.",
        )


def _divided(mine: OwnImages) -> None:
    if mine.splitting is not None:
        waiting(mine.splitting, "Cancel", "Leave it; the images stay as they are.")
    elif mine.split in own_model_names():
        made = resources.card_of(mine.split)
        note = (
            f"{escape(made.title)}: a model in the picker of every page, in this session. Open "
            "Thresholds and press <b>Find</b>: calibration chooses, test has no part in it, and "
            "the receipt says what was found, guaranteed and measured."
        )
        st.html(box("Divided", note, icon="✓"))
        for warning in mine.notes:
            st.caption(warning)
        open_buttons(mine.split, ("thresholds", "samples", "compare"))


def _labels(labelled: int, count: int) -> str:
    if labelled == count:
        return "Their folders give the label of each."
    if labelled:
        return f"The folders of {labelled:,} give their labels; the others have none."
    return (
        "They have no labels, so it is not known which answers are right: see whether the last "
        "exit agrees."
    )


def _skipped(pictures: OwnPictures) -> None:
    count = len(pictures.skipped)
    with st.expander(f"{text.plural(count, 'file')} skipped, and why"):
        if count > _MOST_REASONS:
            st.caption(f"The first {_MOST_REASONS}.")
        st.dataframe(
            [
                {"file": no_formula(one.name), "reason": one.reason}
                for one in pictures.skipped[:_MOST_REASONS]
            ],
            hide_index=True,
        )
