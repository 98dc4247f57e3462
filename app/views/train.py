"""Train: a small early-exit network learns while one looks on."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import resources, state, text
from app.charts import plotly
from app.charts.epochs import epoch_figures
from app.components.errors import show_mistake
from app.components.html import Column, Reading, Row, box, heading, readings, section, table
from app.components.model_choice import open_buttons, open_configuration
from app.components.widgets import bound, save_button, setting
from app.runs import KEPT, MOST_SECONDS, Run
from app.session import MOST_MODELS, OwnModels, own_model_names, own_models
from app.state import Settings, choice, number, parameter, whole
from core.hub.card import Card
from core.training.lesson import COLLAPSING, LOSSES, MOST_EPOCHS, MOST_LAMBDA, PLACES, SOUND, Lesson

if TYPE_CHECKING:
    from core.hub.trainings import TrainingJob
    from core.training.progress import EpochReport

MOST_SEED = 9999
EVERY = 1.0  # seconds between two looks at a training
_PLACE_NAMES = {"stem": "stem", "block1": "block 1", "block2": "block 2"}


def _places(names: str) -> tuple[str, ...] | None:
    return tuple(place for place in PLACES if place in names.split(",")) or None


@dataclass(frozen=True)
class Chosen(Lesson):
    """The training that the page is set to."""

    loss: str = parameter("loss", Lesson.loss, choice(LOSSES), always=True)
    lambda_cost: float = parameter(
        "lambda", Lesson.lambda_cost, number(0, MOST_LAMBDA), "{:g}".format, always=True
    )
    epochs: int = parameter("epochs", Lesson.epochs, whole(1, MOST_EPOCHS), always=True)
    exits: tuple[str, ...] = parameter("exits", Lesson.exits, _places, ",".join, always=True)
    seed: int = parameter("seed", Lesson.seed, whole(0, MOST_SEED), always=True)


LESSON = Settings("lesson", Chosen)
_BEFORE = """
A network of eight layers and 0.9 million multiply-accumulates, small enough to learn in about a
minute. It sees <b>4,000</b> of the 5,000 handwritten digits that ship with this project; <b>500</b>
others choose its thresholds (calibration) and the last <b>500</b> examine it (test), the same ones
every time and as many of each digit. What it becomes opens in every other page.
"""
_WATCH = """
<b>Which digits leave where.</b> At first by chance; then easy ones leave early, hard ones late.<br>
<b>Cost and accuracy.</b> λ is the price of computing. A moderate λ saves most of the compute and
costs little accuracy; if λ is too high, a right answer is worth less than its compute.<br>
<b>Exits that no image uses.</b> Some losses train an exit only by the images that leave there:
compare v1 with v2 at the same λ.
"""
_WAITING = """
Others are training. Yours starts by itself as soon as a place is free. Meanwhile you may look at
other pages; after a reload, this page's address finds your place again.
"""
_LOST = (
    "{} of the link cannot be found: a training is kept for a few hours, and not when the server "
    "starts anew. Start it again; the settings are those of the link."
)


def page() -> None:
    """Show the page."""
    heading("Train", "A small early-exit network learns to read digits, now, and you set λ.")
    models = resources.model_names()
    if models:
        open_configuration(models)
    own = own_models()
    settings, beside = st.columns([1, 2.7], gap="large")
    with settings:
        _settings(own)
    with beside:
        run = own.last_run()
        if own.lost:
            st.warning(_LOST.format(text.plural(own.lost, "training")), icon=":material/link_off:")
        if run is None:
            st.html(box("What is going to happen", _BEFORE, icon="▶"))
            st.html(box("What to watch", _WATCH, icon="◉"))
        else:
            watched = run.training.running
            waiting = run.training.waiting
            st.fragment(_watch, run_every=EVERY if watched else None)(
                run.training, watched, waiting
            )
        _models()
    if models:
        state.write_url(LESSON.to_query())


def _settings(own: OwnModels) -> None:
    lesson, run = LESSON.now, own.last_run()
    busy = run is not None and run.training.running
    _controls(lesson, busy)
    if run is not None and busy:
        _stop(run)
    else:
        st.button(
            "Start",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            disabled=not lesson.exits,
            on_click=_start,
            help="Train with these settings, in the background: you may look at other pages "
            f"meanwhile. It takes about {text.plural(lesson.epochs, 'epoch')} of a second or "
            f"two each, and at most {MOST_SECONDS // 60} minutes. When others train already, you "
            "wait in a queue, and it starts by itself.",
        )
    _collapsing(lesson, busy)


def _controls(lesson: Lesson, busy: bool) -> None:
    described = "  \n".join(f"**{name}**: {what}" for name, (_, what) in LOSSES.items())

    setting(
        LESSON,
        "loss",
        st.selectbox,
        "Loss",
        list(LOSSES),
        format_func=lambda name: f"{name}: {LOSSES[name][0]}",
        disabled=busy,
        help=f"What the network learns to make small.\n\n{described}",
    )
    setting(
        LESSON,
        "lambda_cost",
        st.slider,
        "λ, the price of computing",
        0.0,
        MOST_LAMBDA,
        step=0.05,
        disabled=busy or not lesson.uses_lambda,
        help="How many units of loss the compute of one plain network is worth. At 0 computing is "
        "free; the higher, the earlier images leave. It counts in the losses v1 to v4 only.",
    )
    setting(
        LESSON,
        "epochs",
        st.slider,
        "Epochs",
        1,
        MOST_EPOCHS,
        disabled=busy,
        help="How often the network sees each of the 4,000 digits. With v1 to v4, the first two "
        "fifths are deep supervision (v0), so that the exits have something to be weighed by.",
    )
    bound(
        st.pills,
        "Early exits after",
        PLACES,
        key="lesson-exits",
        value=list(lesson.exits),
        choose=lambda chosen: LESSON.change(
            exits=tuple(place for place in PLACES if place in chosen)
        ),
        selection_mode="multi",
        disabled=busy,
        format_func=lambda place: _PLACE_NAMES[place],
        help="Where images may leave; the end of the network is always one more exit.",
    )
    if not lesson.exits:
        st.warning("Choose at least one early exit.", icon=":material/call_split:")
    setting(
        LESSON,
        "seed",
        st.number_input,
        "Seed",
        0,
        MOST_SEED,
        disabled=busy,
        help="Of the random numbers: first weights, order of the digits, shifts of up to two "
        "pixels. The three splits do not depend on it.",
    )


def _start(**changes: Any) -> None:
    LESSON.change(**changes)
    own_models().begin(LESSON.now, resources.training_queue().place)


def _stop(run: Run) -> None:
    training = run.training
    st.button(
        "Leave the queue"
        if training.waiting
        else "Stopping after this epoch …"
        if training.stopping
        else "Stop",
        icon=":material/stop:",
        width="stretch",
        disabled=training.stopping,
        on_click=training.stop,
        help="End after the epoch under way; what was learned so far becomes the model.",
    )


def _collapsing(lesson: Lesson, busy: bool) -> None:
    st.html(
        section(
            "Collapse",
            "With a λ that is too high, all images leave at one exit, right or wrong.",
        )
    )
    loss = lesson.loss if lesson.uses_lambda else "v2"
    for title, changes, icon in (
        ("See it collapse", {"loss": loss, "lambda_cost": COLLAPSING}, ":material/trending_down:"),
        ("Make it sound", {"loss": "v2", "lambda_cost": SOUND}, ":material/balance:"),
    ):
        st.button(
            f"{title}: λ = {changes['lambda_cost']:g}",
            icon=icon,
            width="stretch",
            disabled=busy or not lesson.exits,
            on_click=_start,
            kwargs=changes,
            help=f"Trains with λ = {changes['lambda_cost']:g} and the loss {changes['loss']}, and "
            "the other settings as they are.",
        )


def _watch(training: "TrainingJob", watched: bool, waiting: bool) -> None:
    if (watched, waiting) != (training.running, training.waiting):
        st.rerun()
    if training.waiting:
        st.html(box(training.message or "Getting ready …", _WAITING, icon="◉"))
        return
    if training.stage == "failed":
        show_mistake(training.mistake)
        return
    reports = training.reports
    _numbers(training, reports)
    if reports:
        _lesson(training, reports[-1])
    for note in training.notes if training.stage == "finished" else ():
        st.caption(note)
    _charts(training, reports)


def _numbers(training: "TrainingJob", reports: Sequence["EpochReport"]) -> None:
    epochs, done = training.recipe.epochs, len(reports)
    st.progress(done / epochs, _progress(training, done))
    epoch = Reading("epoch", "Epochs", f"{done} of {epochs}", _left(training), strong=True)
    if training.result is not None:
        st.html(readings([epoch, *_result(training.result)]))
        return
    last = reports[-1] if reports else None
    missing = text.MISSING
    st.html(
        readings(
            [
                epoch,
                Reading(
                    "last",
                    "At the last exit",
                    text.percent(last.accuracy[-1]) if last else missing,
                    "right, of 500 calibration digits",
                ),
                Reading(
                    "policy",
                    "Leaving early",
                    text.percent(last.policy_accuracy) if last else missing,
                    "right of them, for now at thresholds of 0.5",
                ),
                Reading(
                    "cost",
                    "Relative cost",
                    text.percent(last.relative_cost) if last else missing,
                    "of the plain network's compute",
                ),
            ]
        )
    )


def _result(card: Card) -> list[Reading]:
    """Return what counts: test digits, at thresholds that calibration digits chose."""
    whole = Reading(
        "last",
        "At the last exit",
        text.percent(card.exit_accuracy("test")[-1]),
        "right, of 500 test digits",
    )
    on_test = card.default_point.test if card.default_point else None
    if on_test is None:
        return [whole]
    between = on_test.accuracy_interval
    return [
        whole,
        Reading(
            "policy",
            "Leaving early",
            text.percent(on_test.accuracy),
            "right of them, at the chosen thresholds",
            interval=text.interval(between) if between else "",
        ),
        Reading(
            "cost",
            "Relative cost",
            text.percent(on_test.relative_cost),
            "of the plain network's compute",
        ),
    ]


def _progress(training: "TrainingJob", done: int) -> str:
    match training.stage:
        case "finished":
            if training.out_of_time:
                return f"Ended by the time limit after {text.plural(done, 'epoch')}."
            if training.stopping:
                return f"Stopped after {text.plural(done, 'epoch')}."
            return "Done."
        case "failed":
            return "The training failed."
        case _:
            return training.message or "Getting ready …"


def _left(training: "TrainingJob") -> str:
    if not training.running:
        return "in all"
    if training.stopping or not training.seconds_left > 0:
        return "one moment"
    return f"about {text.patience(training.seconds_left)} left"


def _lesson(training: "TrainingJob", report: "EpochReport") -> None:
    from core.training.progress import collapsed_at

    if report.warning is None:
        return
    exits = len(report.accuracy)
    at = collapsed_at(report.exit_share)
    if at is None:
        st.html(box("Something is wrong", escape(report.warning), icon="⚠", tone="warning"))
        return
    price = f"λ = {training.recipe.phases[-1].lambda_cost:g}"
    share = text.percent(report.exit_share[at], 0)
    name = text.exit_name(at, exits)
    if at == exits - 1:
        body = (
            f"At {price}, computing is so cheap that stopping early never pays. The early exits "
            "save nothing. <b>Raise λ</b>, or give deep supervision more epochs."
        )
    else:
        body = (
            f"At {price} and thresholds of 0.5, what lies behind {name.lower()} is never worth its "
            f"price: an image costs {text.percent(report.relative_cost, 0)} of the plain network, "
            f"and {text.percent(report.policy_accuracy)} of the answers are right, easy image or "
            "hard. A network that treats all images alike does not need its other exits, and "
            "where no image goes, a loss may train nothing: compare the accuracies below. "
        )
        body += (
            "<b>Lower λ</b> and train again."
            if at == 0
            else "Lower λ if computing should matter less, raise it if it should matter more."
        )
    st.html(box(f"Collapsed: {share} leave at {name.lower()}", body, icon="⚠", tone="warning"))


def _charts(training: "TrainingJob", reports: Sequence["EpochReport"]) -> None:
    epochs = training.recipe.epochs
    exit_names = text.exit_names(len(training.recipe.network.exits) + 1)
    supervised = epochs - training.recipe.phases[-1].epochs
    lead = (
        "On the 500 calibration digits, with every threshold at 0.5, so that epochs can be "
        "compared. "
    )
    if training.result is not None:
        lead += (
            "The figures above are what counts: its thresholds were chosen afterwards, and the "
            "500 test digits had no part in it. "
        )
    if supervised:
        lead += "Left of the dotted line deep supervision (v0); right of it, λ counts."
    st.html(section("Epoch by epoch", lead))
    with st.container(key="training-charts"):
        columns = [column for _ in range(2) for column in st.columns(2, gap="medium")]
        figures = epoch_figures(reports, exit_names, epochs, supervised)
        for column, (title, figure) in zip(columns, figures.items(), strict=True):
            with column:
                st.html(f'<h3 class="ee-caption">{title}</h3>')
                plotly.show(figure, title, f"{title}, by epoch")


_COLUMNS = (
    Column("Model"),
    Column("Epochs"),
    Column("Accuracy of each exit", "On test, if every image stopped there."),
    Column("Accuracy, leaving early", "On test, at the operating point that loses least accuracy."),
    Column("Relative cost", "Of that, in units of the plain network."),
)


def _models() -> None:
    names = own_model_names()
    if not names:
        return
    st.html(
        section(
            "Trained here",
            "In the model picker of every page. Keep this page's address: anybody who has it finds "
            f"them again, for about {KEPT / 3600:.0f} hours.",
        )
    )
    cards = {name: resources.card_of(name) for name in names}
    st.html(table(_COLUMNS, [_model_row(card) for card in cards.values()]))
    chosen = st.selectbox(
        "What to do with",
        names[::-1],
        key="trained-model",
        format_func=lambda name: cards[name].title,
        help=f"The last {MOST_MODELS} are kept.",
    )
    with st.container(horizontal=True):
        open_buttons(chosen, ("playground", "thresholds"))
        save_button(
            "Download",
            resources.archive(chosen),
            f"{chosen}.zip",
            help="Weights, card and tables. Unpacked into `pretrained/`, it is a model like the "
            "others: `python -m core evaluate " + chosen + "`.",
        )


def _model_row(card: Card) -> Row:
    accuracies = " · ".join(map(text.percent, card.exit_accuracy("test")))
    figures = [text.MISSING, text.MISSING]
    on_test = card.default_point.test if card.default_point else None
    if on_test is not None:
        figures = [text.percent(on_test.accuracy), text.percent(on_test.relative_cost)]
    epochs = str(card.training.epochs) if card.training else text.MISSING
    return Row([card.title, epochs, accuracies, *figures])
