"""Where the picture comes from: the samples that ship, uploads, a camera, or a drawing."""

import math
import random
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from app import resources, state, text, views
from app.components.canvas import canvas
from app.components.crop import Crop, Whole, frame
from app.components.errors import sentences
from app.components.model_choice import instead
from app.components.picture_grid import Group, Tile, picture_grid
from app.components.pictures import Picture, png, preview, thumbnail
from app.kept_pictures import Own, kept_pictures
from app.sample_sources import SAMPLES, TEST, SampleSource, split_source
from app.state import Settings, counted, from_one, parameter, whole
from core.analysis.corruptions import corrupt
from core.data.file_names import composed, distinct
from core.data.images import FORMATS, MAX_BYTES, REDUCED_ABOVE, centred_digit, open_image
from core.data.polarity import has_light_edge, light_on_dark
from core.data.prepared import ImageSet
from core.data.uploads import MOST_BYTES
from core.foundation.errors import UserError
from core.hub.card import Card

IN_A_STRIP = 20
QUICKLY = 2_000_000
"""Pixels that a picture is read at, until a part of it is chosen."""
MOST_UPLOADS = 50
_LIMIT = f"{MOST_UPLOADS} with {MOST_BYTES // 2**20} MB together"
_HELD, _ROUND = "own-images", "own-round"
_LEFT_OUT = "own-left-out"
_SEEN, _CROPS = "own-seen", "own-crops"
_DRAWING = "own-drawing"


def _word(text: str) -> str | None:
    return text if re.fullmatch(r"[\w-]{1,64}", text, re.ASCII) else None


@dataclass(frozen=True)
class Elsewhere:
    """A picture that is looked at in place of a sample.

    Attributes:
        test: number of a test image, or -1.
        own: word under which the visitor's own pictures are kept, or "".
        chosen: which of those.
    """

    test: int = parameter("test", -1, whole())
    own: str = parameter("own", "", _word)
    chosen: int = parameter("own-picture", 0, counted(whole()), from_one)


ELSEWHERE = Settings("elsewhere", Elsewhere)


def show_sample(number: int) -> None:
    """Look at one of the samples, and no longer at another picture."""
    state.change(sample=number)
    ELSEWHERE.change(test=-1, own="", chosen=0)
    st.session_state[_DRAWING] = False
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1  # empty uploader and camera


def corrupted(
    pixels: NDArray[np.uint8], view: state.View, severity: float | None = None
) -> NDArray[np.uint8]:
    """Return an image (H, W, C) as a view's corruption leaves it, at its severity or another."""
    severity = view.severity if severity is None else severity
    return corrupt(pixels, view.corruption, severity) if view.corruption else pixels


def open_in_playground(source: SampleSource, position: int, card: Card) -> None:
    """Leave for the Playground, with a sample as it is, its picture at hand.

    Args:
        source: of the sample.
        position: in its table.
        card: of the model that is looked at.
    """
    pixels = source.picture(position)
    if source.name == SAMPLES:
        show_sample(position)
    elif source.name == TEST:
        ELSEWHERE.change(test=source.number(position), own="", chosen=0)
        st.session_state[_DRAWING] = False
    elif pixels is not None:
        label = int(source.table.labels[position])
        known = label if label >= 0 else None
        name = source.called(position)
        content = png(pixels) if source.files is None else source.files[position].read()
        _take([Own(name, content, label=known, dataset=card.dataset)])
    state.change(corruption="", severity=0.0)
    st.switch_page(views.page("playground"))


@dataclass(frozen=True)
class Choice:
    """What there is to look at.

    Attributes:
        pictures: the visitor's own, or the one sample that is chosen.
        chosen: which of these is looked at.
        show_others: shows what else there is in the place reserved for it: twenty small pictures,
            which need not be there before the answers are.
    """

    pictures: list[Picture]
    chosen: int
    show_others: Callable[[], None]


def pictures(card: Card) -> Choice | None:
    """Show how to bring or choose pictures; return what is chosen, None for nothing to look at."""
    samples = resources.examples(card)
    place, refused = st.container(), st.container()  # above what an open popover covers
    walk = _choosers(card)
    own = _own_pictures(card, refused)
    chosen = min(ELSEWHERE.now.chosen, len(own) - 1)
    with walk:
        _walk(own, chosen, 0 if samples is None else len(samples))
    if own:
        with place:
            beside = _beside_the_whole(own[chosen])
        if len(own) > 1:
            return Choice(own, chosen, partial(_strip_of_own, beside, own, chosen))
        return Choice(own, chosen, partial(_strip_of_samples, beside, card, samples, None))
    test = _test_image(card)
    if test is not None:
        return Choice([test], 0, partial(_strip_of_samples, place, card, samples, None))
    if samples is None:
        return None
    number = _sample_number(samples)
    shown = [_sample(samples, number)]
    return Choice(shown, 0, partial(_strip_of_samples, place, card, samples, number))


def one_picture(card: Card) -> tuple[Picture, Callable[[str], None]] | None:
    """Return what is looked at, and how to go on to the "next", the "previous" or "any" one.

    Without choosers: what was brought or chosen on the Playground, or a sample. None when there is
    nothing to look at.
    """
    samples = resources.examples(card)
    own = _own_pictures(card, st.container())
    test = None if own else _test_image(card)
    if own:
        number, count, step, show = min(ELSEWHERE.now.chosen, len(own) - 1), len(own), 1, _look_at
        picture = own[number]
    elif samples is not None:
        number, count, show = _sample_number(samples), len(samples), show_sample
        step, picture = _stride(count), test or _sample(samples, number)
    elif test is not None:
        return test, lambda to: None
    else:
        return None

    def go(to: str) -> None:
        there = {"next": number + step, "previous": number - step}
        show(there.get(to, random.randrange(count)) % count)

    return picture, go


def _stride(count: int) -> int:
    """Return how far it is to the next sample: they are sorted by class, and all are to be seen."""
    return math.ceil(count / IN_A_STRIP)


def _sample_number(samples: ImageSet) -> int:
    return min(state.view().sample, len(samples) - 1)


def _sample(samples: ImageSet, number: int) -> Picture:
    name = f"Sample {number + 1:,} of {len(samples):,}"
    return Picture(samples.images[number], name, label=int(samples.labels[number]))


def _test_image(card: Card) -> Picture | None:
    number = ELSEWHERE.now.test
    if number < 0:
        return None
    missing = "there is no such image."
    with suppress(UserError):
        source, lost = split_source(state.view().model, card)
        position = source.position_of(number) if source.name == TEST else None
        pixels = None if position is None else source.picture(position)
        if position is not None and pixels is not None:
            label = int(source.table.labels[position])
            name = f"{source.called(position)} of {len(source.table):,}"
            return Picture(pixels, name, label=label if label >= 0 else None)
        missing = lost or missing
    instead(f"The link is for test image {number:,}: {missing} Shown instead: a sample.")
    return None


def _strip_of_samples(
    place: DeltaGenerator, card: Card, samples: ImageSet | None, chosen: int | None
) -> None:
    if samples is None or _draws(card):
        return
    number = chosen or 0
    pages = _stride(len(samples))
    tiles = [
        Tile(
            index,
            thumbnail(samples.images[index]),
            f"Sample {index + 1}: {samples.classes[samples.labels[index]]}",
            index == chosen,
        )
        for index in range(number % pages, len(samples), pages)
    ]
    _strip(place, tiles, "Sample images", show_sample)


def _strip_of_own(place: DeltaGenerator, own: Sequence[Picture], chosen: int) -> None:
    tiles = [
        Tile(number, thumbnail(one.pixels), one.name, number == chosen)
        for number, one in enumerate(own)
    ]
    _strip(place, tiles, "Your images", _look_at)


def _look_at(number: int) -> None:
    ELSEWHERE.change(chosen=max(number, 0))


def _strip(
    place: DeltaGenerator, tiles: list[Tile], label: str, on_pick: Callable[[int], None]
) -> None:
    with place:
        picture_grid([Group(tiles)], label, on_pick, key="strip", layout="strip")


def _choosers(card: Card) -> DeltaGenerator:
    """Show what brings pictures; return the place before it."""
    with st.container(horizontal=True, key="choosers"):
        before = st.container(horizontal=True, width="content")  # or what is open below moves on
        with st.popover("Upload", icon=":material/upload:"):
            _uploader(card)
        if card.spec.in_channels == 1 and not _draws(card):
            st.button("Draw", icon=":material/draw:", on_click=_draw)
        with st.popover("Camera", icon=":material/photo_camera:"):
            _camera()
    return before


def _walk(own: Sequence[Picture], chosen: int, count: int) -> None:
    sample = min(state.view().sample, max(count - 1, 0))
    away = bool(own or ELSEWHERE.now.test >= 0 or st.session_state.get(_DRAWING))
    if away and count:
        st.button(
            "Samples",
            icon=":material/arrow_back:",
            help="Back to the samples.",
            on_click=show_sample,
            args=(sample,),
        )
    if away:
        _steps("image of yours", _look_at, chosen, len(own), 1)
    else:
        _steps("sample", show_sample, sample, count, _stride(count))


def _steps(what: str, show: Callable[[int], None], number: int, count: int, step: int) -> None:
    """Show buttons to the one before, the next and any."""
    if count < 2:
        return
    for icon, help_, key, to in (
        ("arrow_back", f"The {what} before.", "p", (number - step) % count),
        ("arrow_forward", f"The next {what}.", "n", (number + step) % count),
        ("shuffle", f"Any {what}.", "a", random.randrange(count)),
    ):
        st.button(
            "",
            icon=f":material/{icon}:",
            key=f"walk-{key}",
            shortcut=key,
            help=f"{help_} Press {key.upper()}.",
            on_click=show,
            args=(to,),
        )


def _uploader(card: Card) -> None:
    key = f"upload-{st.session_state.get(_ROUND, 0)}"

    def changed() -> None:
        files = st.session_state[key] or []
        sizes = accumulate(file.size for file in files[:MOST_UPLOADS])
        fitting = [file for file, size in zip(files, sizes, strict=False) if size <= MOST_BYTES]
        names = distinct([composed(file.name) for file in fitting])
        taken = [Own(name, file.getvalue()) for name, file in zip(names, fitting, strict=True)]
        _take(taken, left_out=len(files) - len(taken))

    side = card.spec.image_size
    st.file_uploader(
        "Images of your own",
        accept_multiple_files=True,
        key=key,
        on_change=changed,
        max_upload_size=MAX_BYTES // 2**20,
        help=f"One, or up to {_LIMIT} ({', '.join(FORMATS)}). The middle square of each, or "
        f"another part that you choose, is scaled to the {side} × {side} pixels that this network "
        "reads. They are kept in this server's memory for an hour, so that a reload finds them by "
        "the page's address, as does anybody who has that address; they are written to no disk.",
    )


def _camera() -> None:
    key = f"camera-{st.session_state.get(_ROUND, 0)}"

    def changed() -> None:
        shot = st.session_state[key]
        _take([Own("Camera", shot.getvalue())] if shot else [])

    if st.toggle("Switch the camera on", help="The browser asks for permission first."):
        st.camera_input("Take a picture", key=key, on_change=changed)


def _draw() -> None:
    _take([], drawing=True)


def _draws(card: Card) -> bool:
    return card.spec.in_channels == 1 and bool(st.session_state.get(_DRAWING))


def blackboard(card: Card) -> bool:
    """Show the blackboard while the visitor draws; return whether it is there."""
    if not _draws(card):
        return False
    st.caption("Draw a digit: each stroke is answered at once.")
    canvas(_take_drawing)
    return True


def _take_drawing(content: bytes | None) -> None:
    _take([Own("Your drawing", content, drawn=True)] if content else [], drawing=True)


def _take(own: list[Own], left_out: int = 0, *, drawing: bool = False) -> None:
    word = kept_pictures().keep(own) if own else ""
    st.session_state[_HELD] = word, tuple(own)
    ELSEWHERE.change(test=-1, own=word, chosen=0)
    st.session_state[_DRAWING] = drawing
    st.session_state[_LEFT_OUT] = left_out
    st.session_state[_SEEN], st.session_state[_CROPS] = {}, {}


def _brought() -> tuple[Own, ...]:
    """Return the visitor's own pictures: those of this session, or those of the address."""
    word = ELSEWHERE.now.own
    if not word:
        return ()
    held, own = st.session_state.get(_HELD, ("", ()))
    if held == word:
        return tuple(own)
    own = kept_pictures().find(word)
    if own:
        st.session_state[_HELD] = word, own
        st.session_state[_SEEN], st.session_state[_CROPS] = {}, {}
    else:
        instead(
            "The link is for a picture that somebody brought, which is no longer kept: at most for "
            "an hour. Shown instead: a sample."
        )
    return own


def _own_pictures(card: Card, refused: DeltaGenerator) -> list[Picture]:
    own = _brought()
    turn = None
    if own and light_on_dark(card.dataset) and not own[0].drawn:
        turn = st.segmented_control(
            "Light and dark",
            ["as needed", "as they are", "exchanged"],
            default="as needed",
            required=True,
            help="This network learned white digits on black. Dark ink on light paper has to be "
            "turned around first; as needed, the edge of the picture decides.",
        )
    if own and st.session_state.get(_LEFT_OUT):
        left_out = text.plural(st.session_state[_LEFT_OUT], "image")
        st.info(f"{left_out} left out: at most {_LIMIT} are taken.", icon=":material/info:")
    known = st.session_state.get(_SEEN, {})
    crops = st.session_state.get(_CROPS, {})
    seen, version = {}, resources.version_of(card.name)
    for number, one in enumerate(own):
        key = (number, version, turn, crops.get(number))
        with refused, sentences():
            seen[key] = known.get(key) or _opened(one, number, card, turn, crops.get(number))
    st.session_state[_SEEN] = seen
    return list(seen.values())


def _beside_the_whole(picture: Picture) -> DeltaGenerator:
    """Show what a picture was before it was cropped, where it was; return the place beside it."""
    if picture.whole is None:
        return st.container()

    def crop(to: Crop) -> None:
        st.session_state[_CROPS] = st.session_state.get(_CROPS, {}) | {picture.number: to}

    left, right = st.columns([1, 2.2], gap="medium")
    with left:
        frame(picture.whole, crop)
    return right


def whole_picture(picture: Image.Image, card: Card, crop: Crop | None = None) -> Whole | None:
    """Return a picture with the part of it that a network sees; None where it is distorted.

    Args:
        picture: before it is cropped.
        card: of the network.
        crop: that was chosen; None: what the network sees by itself.
    """
    usual = Crop.usual(card.evaluation_transform, *picture.size)
    if usual is None:
        return None
    return Whole(preview(picture), picture.size, crop or usual, usual)


def _opened(own: Own, number: int, card: Card, turn: str | None, crop: Crop | None) -> Picture:
    most = QUICKLY if crop is None else REDUCED_ABOVE
    opened = open_image(own.content, own.name, most_pixels=most)
    spec = card.spec
    notes = opened.notes
    whole = None if own.drawn else whole_picture(opened.image, card, crop)
    if whole is not None and crop is not None:
        box = crop.box(*opened.image.size)
        pixels = card.evaluation_transform.pixels_in(opened.image, box)
    else:
        pixels = card.evaluation_transform.pixels(opened.image)
    if own.drawn and spec.in_channels == 1:
        pixels = centred_digit(opened.image, spec.image_size)
    elif turn == "exchanged" or (turn == "as needed" and has_light_edge(pixels)):
        pixels = 255 - pixels
        notes += ("Light and dark were exchanged, as this network reads white on black.",)
    known = own.label if own.dataset == card.dataset else None
    return Picture(
        pixels,
        own.name,
        label=known,
        notes=notes,
        uploaded=True,
        strange=not own.drawn and known is None,
        whole=whole,
        number=number,
    )
