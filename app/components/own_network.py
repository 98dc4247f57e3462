"""A visitor's own network: chosen, cut, filled with weights, and its exits trained."""

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import resources, text
from app.charts.network import cut_bar
from app.components.errors import sentences, show_mistake
from app.components.html import Reading, box, readings, section
from app.components.model_choice import open_buttons
from app.components.widgets import bound, setting
from app.session import kept, own_model_names, own_models
from app.state import Settings, choice, parameter, whole
from app.uploads import of_a_session
from core.data.archives import files_in_zip
from core.data.class_folders import HELD_OUT, LEAST, ClassFolders, class_folders
from core.data.file_names import natural_order
from core.data.uploads import MOST_BYTES, MOST_PICTURES, Skipped
from core.foundation.errors import UserError
from core.foundation.public import is_public

if TYPE_CHECKING:
    from core.hub.own_network import OwnNetworkJob
    from core.networks.cut import CutPoint

SIZES = (32, 48, 64, 96, 128, 160, 192, 224)
MOST_CLASSES = 1000
MOST_EPOCHS = 60
MOST_SECONDS = 1200
EVERY = 1.0  # seconds between two looks at a training
_MEGABYTES = 2**20
_MOST_WEIGHTS = 256 * _MEGABYTES
_SUFFIXES = ("safetensors", "pth", "pt", "ckpt")
_PRESETS = {
    "frozen-exits": "The exits alone",
    "fine-tune": "For new classes",
    "joint": "All together",
}
_HEADS = {
    "pool": "Average of each channel",
    "conv1": "One layer of its own",
    "conv2": "Two layers of its own",
    "conv3": "Three layers of its own",
    "rest2": "The rest of the network, at half the resolution",
    "rest4": "The rest of the network, at a quarter",
}


@dataclass(frozen=True)
class Chosen:
    """What is chosen of the network and its training; a link holds it, but no files.

    Attributes:
        backbone: a name in `core.hub.own_network.constructors`.
        classes: outputs of the network.
        pixels: side of the pictures that it reads.
        exits: names of places, with commas between them; "" for the usual ones.
        head: of the early exits.
        preset: how they are trained; "" for what suits the weights.
        epochs: of the training; 0 for the preset's.
        normalisation: of the pictures; "" for what suits the weights.
    """

    backbone: str = parameter("network", "torchvision-mobilenet_v3_small")
    classes: int = parameter("classes", 10, whole(2, MOST_CLASSES))
    pixels: int = parameter("pixels", 64, lambda given: _pixels(given))
    exits: str = parameter("exits", "")
    head: str = parameter("head", "pool", choice(_HEADS))
    preset: str = parameter("train", "", choice(_PRESETS))
    epochs: int = parameter("epochs", 0, whole(0, MOST_EPOCHS))
    normalisation: str = parameter("normalised", "")


def _pixels(given: str) -> int | None:
    return int(given) if given in map(str, SIZES) else None


CHOSEN = Settings("own-network", Chosen)


class Draft:
    """What a visitor has brought for their network, and the training that is under way."""

    def __init__(self) -> None:
        self.weights: Path | None = None
        self.weights_name = ""
        self.weights_mistake = ""
        self.checked: object = None  # network and weights that were last put together
        self.pictures: ClassFolders | None = None
        self.pictures_mistake = ""
        self.job: OwnNetworkJob | None = None
        self.name = ""
        self.finished = ""
        self.skipped: tuple[Skipped, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.mistake = ""

    def take_weights(self, file: Any) -> None:
        """Take an uploaded file of weights, or none."""
        self.weights, self.weights_name, self.weights_mistake, self.checked = None, "", "", None
        if file is not None:
            suffix = PurePath(file.name).suffix.lower()
            self.weights = own_models().folder / f".weights{suffix}"
            self.weights.write_bytes(file.getvalue())
            self.weights_name = file.name

    def take_pictures(self, file: Any) -> None:
        """Take an uploaded archive of pictures, or none; a mistake is kept to be shown."""
        self.pictures, self.pictures_mistake = None, ""
        if file is not None:
            try:
                self.pictures = class_folders(files_in_zip(file.getvalue(), file.name))
            except UserError as error:
                self.pictures_mistake = str(error)

    def check(self, backbone: str, classes: int, pixels: int) -> None:
        """Put network and weights together once; a mistake is kept to be shown."""
        from core.hub.own_network import OwnNetwork

        key = (backbone, classes, pixels, self.weights_name)
        if self.weights is None or self.checked == key:
            return
        self.checked, self.weights_mistake = key, ""
        try:
            OwnNetwork(backbone, classes, pixels).module(self.weights, self.weights_name)
        except UserError as error:
            self.weights_mistake = str(error)

    def settle(self) -> None:
        """Take note of a training that is done."""
        if self.job is None or self.job.running:
            return
        self.mistake = self.job.mistake
        if self.job.result is not None:
            self.finished, self.skipped = self.name, self.job.result.skipped
            self.notes = self.job.result.notes
            if self.job.result.pictures is not None:
                own_models().pictures[self.name] = self.job.result.pictures
        self.job = None


def own_network() -> None:
    """Show what there is to choose, to bring and to train."""
    draft = kept("own-network-draft", Draft)
    draft.settle()
    busy = draft.job is not None
    st.html(
        box(
            "Early exits on your own network",
            "Choose a network, give its weights and a zip of labelled pictures. Early exits are "
            "put where you want them and trained here; then every page opens with it. Files stay "
            "in this session.",
            icon="⇥",
        )
    )
    network, weights = st.columns([1.5, 1], gap="large")
    with network:
        _network(busy)
    with weights:
        _weights(draft, busy)
    chosen = CHOSEN.now
    with sentences():
        points = resources.cut_points(chosen.backbone, chosen.classes, chosen.pixels)
        exits = _exits(points, busy)
        pictures, training = st.columns(2, gap="large")
        with pictures:
            _pictures(draft, busy)
        with training:
            _training(draft, exits, busy)
    _outcome(draft)


def _network(busy: bool) -> None:
    from core.hub.own_network import constructors
    from core.networks.constructors import FACTORY

    counts = constructors()
    if is_public():  # code of the operator's
        counts.pop(FACTORY, None)
    st.html(section("1. Network"))
    if CHOSEN.now.backbone not in counts:
        CHOSEN.change(backbone=next(name for name in counts if "mobilenet_v3_small" in name))

    def title(name: str) -> str:
        if name == FACTORY:
            return "The factory that this server was started with"
        return f"{name.removeprefix('torchvision-')} ({text.macs(counts[name])} parameters)"

    which, classes, pixels = st.columns([2, 1, 1.4], gap="medium")
    with which:
        setting(
            CHOSEN,
            "backbone",
            st.selectbox,
            "Constructor",
            list(counts),
            disabled=busy,
            format_func=title,
            help="A classifier of torchvision's; type to search. The operator of the server can "
            "offer a module of their own with `early-exit app --factory FILE.py:FUNCTION`.",
        )
    with classes:
        setting(
            CHOSEN,
            "classes",
            st.number_input,
            "Classes",
            2,
            MOST_CLASSES,
            disabled=busy,
            help="Outputs of the network as its weights have them: 1000 for ImageNet's.",
        )
    with pixels:
        setting(
            CHOSEN,
            "pixels",
            st.select_slider,
            "Pixels",
            SIZES,
            disabled=busy,
            help="Side of the square pictures that the network reads. Pictures of another size "
            "are scaled. Smaller ones train faster.",
        )


def _weights(draft: Draft, busy: bool) -> None:
    st.html(section("2. Weights"))
    st.file_uploader(
        "Weights of this network",
        type=list(_SUFFIXES),
        key="own-weights",
        on_change=lambda: draft.take_weights(st.session_state["own-weights"]),
        max_upload_size=min(_MOST_WEIGHTS, of_a_session()) // _MEGABYTES,
        disabled=busy,
        help="A state dict, alone or in a checkpoint. Only tensors are read; prefixes such as "
        "`module.` do not matter.",
    )
    now = CHOSEN.now
    draft.check(now.backbone, now.classes, now.pixels)
    if draft.weights_mistake:
        show_mistake(draft.weights_mistake)
    elif draft.weights is not None:
        st.success(f"{draft.weights_name} fits the network.", icon=":material/check:")
    else:
        st.caption(
            "None yet: the network begins with **random weights**, so all of it has to be trained "
            "(fine-tune)."
        )


def _exits(points: "tuple[CutPoint, ...]", busy: bool) -> tuple[str, ...]:
    from core.hub.own_network import usual_exits

    shares = {point.name: point.share for point in points}
    kept_exits = [name for name in CHOSEN.now.exits.split(",") if name in shares]
    exits = tuple(name for name in shares if name in (kept_exits or usual_exits(points)))
    st.html(
        section(
            "3. Exits",
            "The bar is the compute of the network, from the picture to its classifier. Each mark "
            "is a place where it can be cut.",
        )
    )
    drawn = [(point.name, point.share, text.shape(*point.shape)) for point in points]
    st.html(cut_bar(drawn, exits))
    which, head = st.columns([2.2, 1], gap="medium")
    with which:
        bound(
            st.multiselect,
            "Early exits after",
            list(shares),
            key="own-network-exits",
            value=list(exits),
            choose=lambda names: CHOSEN.change(exits=",".join(names)),
            disabled=busy,
            format_func=lambda name: f"{name} ({text.percent(shares[name], 0)})",
            help="Where images may leave. In brackets: the share of the compute before it.",
        )
    with head:
        setting(
            CHOSEN,
            "head",
            st.selectbox,
            "Head of each exit",
            list(_HEADS),
            disabled=busy,
            format_func=_HEADS.__getitem__,
            help="What an exit computes before its classifier. Layers of its own make early exits "
            "more accurate and cost compute.",
        )
    return exits


def _pictures(draft: Draft, busy: bool) -> None:
    st.html(section("4. Pictures"))
    st.file_uploader(
        "A zip of class folders",
        type="zip",
        key="own-pictures",
        on_change=lambda: draft.take_pictures(st.session_state["own-pictures"]),
        max_upload_size=MOST_BYTES // _MEGABYTES,
        disabled=busy,
        help=f"One folder for each class, such as cat/1.png and dog/2.png; up to {MOST_PICTURES:,} "
        f"pictures, at least {LEAST} of a class. Sorted by name, the folders are the outputs of "
        "the network, as in torchvision's ImageFolder. Where they lie in folders train, val and "
        "test, val becomes calibration, which chooses the thresholds.",
    )
    if draft.pictures_mistake:
        show_mistake(draft.pictures_mistake)
    elif draft.pictures is not None:
        _order(draft, busy)
        classes = draft.pictures.classes
        few = ", ".join(map(escape, classes[:5])) + (", …" if len(classes) > 5 else "")
        st.html(
            f'<p class="ee-words"><b>{text.plural(len(draft.pictures), "picture")}</b> of '
            f"{len(classes)} classes ({few}). {_splits(draft.pictures)}</p>"
        )


def _order(draft: Draft, busy: bool) -> None:
    """Offer the order in which people count, where it is another one than that of the text."""
    assert draft.pictures is not None
    as_text = sorted(draft.pictures.classes)
    natural = natural_order(as_text)
    if as_text == natural:
        return

    def changed() -> None:
        assert draft.pictures is not None
        order = natural if st.session_state["own-network-natural"] else as_text
        draft.pictures = draft.pictures.in_order(order)

    st.checkbox(
        "Sort the classes as people count: 2 before 10",
        value=list(draft.pictures.classes) == natural,
        key="own-network-natural",
        on_change=changed,
        disabled=busy,
        help="Choose the order of the network's outputs. torchvision's ImageFolder sorts as text: "
        f"{', '.join(as_text[:3])}, …",
    )


def _splits(pictures: ClassFolders) -> str:
    """Return what calibration and test are."""
    kept_apart = f"{text.percent(HELD_OUT, 0)} of the pictures for training, held out from them"
    return " ".join(
        f"{title}: {'as brought' if split in pictures.named else kept_apart}."
        for split, title in (("calibration", "Calibration"), ("test", "Test"))
    )


def _training(draft: Draft, exits: tuple[str, ...], busy: bool) -> None:
    from core.hub.own_network import NORMALISATIONS, least_epochs, usual_epochs

    now = CHOSEN.now
    fitting = draft.weights is not None and not draft.weights_mistake
    presets = [name for name in _PRESETS if fitting or name != "frozen-exits"]
    preset = now.preset if now.preset in presets else presets[0]
    usual = "imagenet" if fitting else "own"
    normalisation = now.normalisation if now.normalisation in NORMALISATIONS else usual
    least = least_epochs(preset)
    epochs = max(now.epochs or usual_epochs(preset), least)
    st.html(section("5. Training"))
    bound(
        st.segmented_control,
        "What is trained",
        presets,
        key="own-network-preset",
        value=preset,
        choose=lambda name: CHOSEN.change(preset=name, epochs=0),
        required=True,
        wrap=True,
        disabled=busy,
        format_func=_PRESETS.__getitem__,
        help="**The exits alone**: the network stays as it is (PTEENet); its weights must know the "
        "classes of the pictures. **For new classes**: a new classifier first, then all of it at "
        "a low rate, then the exits. **All together**: deep supervision.",
    )
    how_long, how = st.columns([1.4, 1], gap="medium")
    with how_long:
        bound(
            st.slider,
            "Epochs",
            least,
            MOST_EPOCHS,
            key="own-network-epochs",
            value=epochs,
            choose=lambda count: CHOSEN.change(epochs=count),
            disabled=busy,
            help="How often each training picture is seen, all phases together.",
        )
    with how:
        bound(
            st.selectbox,
            "Pixels normalised",
            list(NORMALISATIONS),
            key="own-network-normalisation",
            value=normalisation,
            choose=lambda name: CHOSEN.change(normalisation=name),
            disabled=busy,
            format_func=lambda name: NORMALISATIONS[name][0],
            help="As when the weights were trained: torchvision's were trained with ImageNet's "
            "mean and standard deviation.",
        )
    seen = fitting and st.checkbox(
        "The weights have learned from these pictures",
        key="own-network-seen",
        disabled=busy,
        help="Then the guarantees would be too good, and the outcome says so. Bring other "
        "pictures in a folder val.",
    )
    missing = (
        "a zip of pictures"
        if draft.pictures is None
        else "weights that fit"
        if draft.weights_mistake
        else "at least one exit"
        if not exits
        else ""
    )
    if st.button(
        "Train the exits",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=busy or bool(missing),
        help=f"It still needs {missing}."
        if missing
        else "In the background: you may look at other pages meanwhile. At most "
        f"{MOST_SECONDS // 60} minutes.",
    ):
        with sentences():
            _start(draft, exits, preset, epochs, normalisation, seen)


def _start(
    draft: Draft,
    exits: tuple[str, ...],
    preset: str,
    epochs: int,
    normalisation: str,
    seen: bool,
) -> None:
    from core.hub.own_network import OwnNetwork, OwnNetworkJob, OwnTraining

    now, own = CHOSEN.now, own_models()
    assert draft.pictures is not None
    name = own.next_name()
    backbone = now.backbone.removeprefix("torchvision-")
    slug = re.sub(r"[^a-z0-9]+", "-", draft.pictures.called.lower().removesuffix(".zip'"))
    training = OwnTraining(
        OwnNetwork(now.backbone, now.classes, now.pixels),
        exits,
        now.head,
        preset,
        epochs,
        normalisation,
        f"Trained here {own.trained}: {backbone} with {text.plural(len(exits), 'exit')}",
        f"own-{slug.strip('-')}"[:60].strip("-"),
        seen,
    )
    draft.name, draft.mistake, draft.finished = name, "", ""
    place = resources.training_queue().place
    folder = own.folder / name
    draft.job = OwnNetworkJob(training, draft.pictures, folder, MOST_SECONDS, place, draft.weights)
    st.rerun()


def _outcome(draft: Draft) -> None:
    if draft.job is not None:
        st.fragment(_watch, run_every=EVERY)(draft.job)
        return
    if draft.mistake:
        show_mistake(draft.mistake)
    if draft.finished and draft.finished in own_model_names():
        card = resources.card_of(draft.finished)
        note = f"{escape(card.title)} is a model like the others now, on every page."
        if draft.skipped:
            first = draft.skipped[0]
            note += (
                f" {text.plural(len(draft.skipped), 'file')} left out; the first, "
                f"{escape(first.name)}: {escape(first.reason)}"
            )
        st.html(box("Done", note, icon="✓"))
        for warning in draft.notes:
            st.warning(warning, icon=":material/rule:")
        open_buttons(draft.finished, ("playground", "thresholds", "samples"))


def _watch(job: "OwnNetworkJob") -> None:
    if not job.running:
        st.rerun()
    st.progress(job.fraction, job.message or "Getting ready …")
    reports = list(job.reports)
    epochs = job.training.epochs
    if reports:
        last = reports[-1]
        st.html(
            readings(
                [
                    Reading(
                        "epoch",
                        "Epochs",
                        f"{len(reports)} of {epochs}",
                        f"about {text.patience(job.seconds_left)} left",
                        strong=True,
                    ),
                    *(
                        Reading(str(index), name, text.percent(accuracy), "right on calibration")
                        for index, (name, accuracy) in enumerate(
                            zip(text.exit_names(len(last.accuracy)), last.accuracy, strict=True)
                        )
                    ),
                ]
            )
        )
    st.button(
        "Stopping after this epoch …" if job.stopping else "Cancel",
        icon=":material/close:",
        disabled=job.stopping,
        on_click=job.stop,
        help="Ends the training; nothing of it is kept.",
    )
