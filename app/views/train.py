"""Train: a small early-exit network learns while one looks on."""

from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from app import lessons, resources, state, text
from app.charts import epochs as curves
from app.charts.plotly import CONFIG
from app.components.box import box, table
from app.components.errors import sentences
from app.components.figures import Column
from app.components.readout import Reading, readout
from app.components.saving import save_button
from app.components.style import heading, section
from app.views import playground, thresholds
from app.workshop import MOST_MODELS, Workshop, names, workshop
from core.training.lesson import COLLAPSING, LOSSES, MOST_EPOCHS, MOST_LAMBDA, PLACES, SOUND, Lesson

if TYPE_CHECKING:
    from core.hub.trainings import TrainingJob
    from core.training.progress import EpochReport

MOST_SECONDS = 300
EVERY = 1.0  # seconds between two looks at a training
_PLACE_NAMES = {"stem": "stem", "block1": "block 1", "block2": "block 2"}
_BEFORE = """
A network of eight layers and 0.9 million multiply-accumulates, small enough to learn in about a
minute. It sees <b>4,000</b> of the 5,000 handwritten digits that ship with this project; <b>500</b>
others choose its thresholds (calibration) and the last <b>500</b> examine it (test), the same ones
every time and as many of each digit. What it becomes opens in every other page.
"""
_WATCH = """
<b>Who leaves where.</b> From chance to order: easy digits leave early, hard ones go on.<br>
<b>Cost and accuracy.</b> λ is the price of computing. A fair price saves most of the compute and
costs little accuracy; too high a one, and being right does not count any more.<br>
<b>Exits that nobody uses.</b> Some losses teach only where somebody leaves: compare v1 with v2 at
the same λ.
"""


def page() -> None:
    """Show the page."""
    heading("Train", "A small early-exit network learns to read digits, now, and you set λ.")
    models = resources.model_names()
    if models:
        state.open_view(models, resources.card_of)
    shop = workshop()
    settings, beside = st.columns([1, 2.7], gap="large")
    with settings:
        _settings(shop)
    with beside:
        training = shop.training
        if training is None:
            st.html(box("What is going to happen", _BEFORE, icon="▶"))
            st.html(box("What to watch", _WATCH, icon="◉"))
        else:
            watched = training.running
            st.fragment(_watch, run_every=EVERY if watched else None)(shop, watched)
        _models()
    if models:
        state.write_url(lessons.to_query(lessons.lesson()))


def _settings(shop: Workshop) -> None:
    lesson = lessons.lesson()
    busy = shop.training is not None and shop.training.running
    _controls(lesson, busy)
    if busy:
        _stop(shop)
    else:
        start = st.button(
            "Start",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            disabled=not lesson.exits,
            help="Train with these settings, in the background: you may look at other pages "
            f"meanwhile. It takes about {text.plural(lesson.epochs, 'epoch')} of a second or "
            f"two each, and at most {MOST_SECONDS // 60} minutes.",
        )
        if start:
            with sentences():
                _start(shop, lesson)
    _collapsing(lesson, busy)


def _controls(lesson: Lesson, busy: bool) -> None:
    described = "  \n".join(f"**{name}**: {says}" for name, (_, says) in LOSSES.items())

    def chosen(name: str) -> None:
        value = st.session_state[f"lesson-{name}"]
        if name == "exits":
            value = tuple(place for place in PLACES if place in value)
        lessons.choose(**{name: value})

    for name in ("loss", "lambda_cost", "epochs", "seed"):
        st.session_state[f"lesson-{name}"] = getattr(lesson, name)
    st.session_state["lesson-exits"] = list(lesson.exits)
    st.selectbox(
        "Loss",
        list(LOSSES),
        key="lesson-loss",
        on_change=chosen,
        args=("loss",),
        disabled=busy,
        format_func=lambda name: f"{name}: {LOSSES[name][0]}",
        help=f"What the network is told to make small.\n\n{described}",
    )
    st.slider(
        "λ, the price of computing",
        0.0,
        MOST_LAMBDA,
        step=0.05,
        key="lesson-lambda_cost",
        on_change=chosen,
        args=("lambda_cost",),
        disabled=busy or not lesson.uses_lambda,
        help="How many units of loss the compute of one plain network is worth. At 0 computing is "
        "free; the higher, the earlier images are let go. "
        "It has a say in the losses v1 to v4 only.",
    )
    st.slider(
        "Epochs",
        1,
        MOST_EPOCHS,
        key="lesson-epochs",
        on_change=chosen,
        args=("epochs",),
        disabled=busy,
        help="How often the network sees each of the 4,000 digits. With v1 to v4, the first two "
        "fifths are deep supervision (v0), so that there is something to weigh.",
    )
    st.pills(
        "Early exits after",
        PLACES,
        selection_mode="multi",
        key="lesson-exits",
        on_change=chosen,
        args=("exits",),
        disabled=busy,
        format_func=lambda place: _PLACE_NAMES[place],
        help="Where images may leave; the end of the network is always one more exit.",
    )
    if not lesson.exits:
        st.warning("Choose at least one early exit.", icon=":material/call_split:")
    st.number_input(
        "Seed",
        0,
        lessons.MOST_SEED,
        key="lesson-seed",
        on_change=chosen,
        args=("seed",),
        disabled=busy,
        help="Where chance begins: first weights, order of the digits, shifts of up to two "
        "pixels. The three splits do not depend on it.",
    )


def _start(shop: Workshop, lesson: Lesson) -> None:
    from core.hub.trainings import TrainingJob

    places = resources.training_places()
    name = shop.next_name()
    title = f"Trained here {shop.trained}: {lesson.title}"
    recipe = lesson.recipe(name, title)
    shop.training = TrainingJob(recipe, shop.folder / name, MOST_SECONDS, places)
    st.rerun()


def _stop(shop: Workshop) -> None:
    training = shop.training
    assert training is not None
    stopping = training.stopping
    st.button(
        "Stopping after this epoch …" if stopping else "Stop",
        icon=":material/stop:",
        width="stretch",
        disabled=stopping,
        on_click=training.stop,
        help="Leave it at the epoch under way; what was learned so far becomes the model.",
    )


def _collapsing(lesson: Lesson, busy: bool) -> None:
    st.html(
        section(
            "A lesson: the collapse",
            "Too dear a price, and all images leave at once, whether their answer is right or not.",
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
            disabled=busy,
            on_click=lessons.choose,
            kwargs=changes,
            help=f"Sets λ = {changes['lambda_cost']:g} and the loss {changes['loss']}; then press "
            "Start.",
        )


def _watch(shop: Workshop, watched: bool) -> None:
    training = shop.training
    if training is None:
        return
    if watched and not training.running:
        st.rerun()
    reports = training.reports
    _where(training, reports)
    if training.stage == "failed":
        st.error(training.mistake, icon=":material/error:")
        return
    if reports:
        _lesson(training, reports[-1])
    _charts(training, reports)


def _where(training: "TrainingJob", reports: list["EpochReport"]) -> None:
    epochs = training.recipe.epochs
    done = len(reports)
    st.progress(done / epochs, _says(training, done))
    last = reports[-1] if reports else None
    missing = text.MISSING
    st.html(
        readout(
            [
                Reading("epoch", "Epochs", f"{done} of {epochs}", _left(training), strong=True),
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
                    "right, at thresholds of 0.5",
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


def _says(training: "TrainingJob", done: int) -> str:
    match training.stage:
        case "finished":
            if training.out_of_time:
                return f"The time was up after {text.plural(done, 'epoch')}: it stays at that."
            if training.stopping:
                return f"Stopped after {text.plural(done, 'epoch')}."
            return "Done."
        case "failed":
            return "It broke off."
        case _:
            return training.message or "Getting ready …"


def _left(training: "TrainingJob") -> str:
    if not training.running:
        return "in all"
    if training.stopping or not training.seconds_left > 0:
        return "a moment, please"
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
        says = (
            f"At {price}, computing is so cheap that stopping early never pays. The early exits "
            "save nothing. <b>Raise λ</b>, or give deep supervision more epochs."
        )
    else:
        says = (
            f"At {price}, what lies behind {name.lower()} is never worth its price: an image "
            f"costs {text.percent(report.relative_cost, 0)} of the plain network, and "
            f"{text.percent(report.policy_accuracy)} of the answers are right, easy image or "
            "hard. A network that treats all images alike does not need its other exits, and "
            "where nobody goes, a loss may teach nothing: compare the accuracies below. "
        )
        says += (
            "<b>Lower λ</b> and train again."
            if at == 0
            else "Lower λ if computing should matter less, raise it if it should matter more."
        )
    st.html(box(f"Collapsed: {share} leave at {name.lower()}", says, icon="⚠", tone="warning"))


def _charts(training: "TrainingJob", reports: list["EpochReport"]) -> None:
    epochs = training.recipe.epochs
    exits = len(training.recipe.network.exits) + 1
    exit_names = [text.exit_name(index, exits) for index in range(exits)]
    supervised = epochs - training.recipe.phases[-1].epochs
    lead = "On the 500 calibration digits."
    if supervised:
        lead += " Left of the dotted line deep supervision (v0); right of it, λ has a say."
    st.html(section("Epoch by epoch", lead))
    drawn = (
        (
            "Accuracy of each exit, had all left there",
            curves.accuracy(reports, exit_names, epochs, supervised),
        ),
        (
            "Who leaves where, at thresholds of 0.5",
            curves.shares(reports, exit_names, epochs, supervised),
        ),
        (
            "Cost of that, and how many are right",
            curves.cost(reports, epochs, supervised),
        ),
        ("Loss on the training digits", curves.loss(reports, epochs, supervised)),
    )
    with st.container(key="training-charts"):
        for first in (0, 2):
            columns = st.columns(2, gap="medium")
            for index in (first, first + 1):
                title, figure = drawn[index]
                with columns[index - first]:
                    st.html(f'<h3 class="ee-caption">{title}</h3>')
                    st.plotly_chart(
                        figure, key=f"curve-{index}", config=CONFIG, alt=f"{title}, by epoch"
                    )


_COLUMNS = (
    Column("model", "Model"),
    Column("epochs", "Epochs"),
    Column("each", "Right at each exit", "On 500 test digits, had all left there."),
    Column("accuracy", "Right, leaving early", "On test, at the operating point that loses least."),
    Column("cost", "Relative cost", "Of that, in units of the plain network."),
)


def _models() -> None:
    own = names()
    if not own:
        return
    st.html(
        section(
            "Trained here",
            "In the model picker of every page, for this browser tab only and until it is closed.",
        )
    )
    rows = []
    for name in own:
        card = resources.card_of(name)
        cells = [card.title, str(card.training.epochs) if card.training else text.MISSING]
        cells.append(" · ".join(map(text.percent, card.per_exit_accuracy["test"])))
        figures = card.default_point.test if card.default_point else None
        if figures is not None:
            cells += [text.percent(figures.accuracy), text.percent(figures.relative_cost)]
        rows.append(cells)
    st.html(table(_COLUMNS, rows))
    titles = {name: resources.card_of(name).title for name in own}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "What to do with",
            own[::-1],
            key="trained-model",
            format_func=titles.__getitem__,
            help=f"The last {MOST_MODELS} are kept.",
        )
        for target, title, icon in (
            (playground.page, "Playground", ":material/science:"),
            (thresholds.page, "Thresholds", ":material/tune:"),
        ):
            if st.button(f"Open in {title}", icon=icon, help=f"Choose it, and go to {title}."):
                state.choose_model(chosen, resources.card_of(chosen))
                first = target is playground.page
                url = None if first else title.lower()
                st.switch_page(st.Page(target, title=title, url_path=url, default=first))
        save_button(
            "Download",
            resources.archive(chosen),
            f"{chosen}.zip",
            help="Weights, card and tables. Unpacked into `pretrained/`, it is a model like the "
            "others: `python -m core evaluate " + chosen + "`.",
        )
