"""Under drift: corrupted images against fixed thresholds, and against a cost that is held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

from app import resources, text
from app.charts import plotly
from app.charts.drift import along_the_stream, over_severity
from app.components.background import waiting
from app.components.errors import sentences, show_mistake
from app.components.html import Cell, Column, Row, hint, section, table
from app.components.model_choice import Configuration
from app.components.pictures import data_uri
from app.components.widgets import setting
from app.sample_sources import SampleSource, split_source
from app.state import Settings, choice, nearest, number, parameter
from core.analysis.corruptions import CORRUPTIONS, corrupt
from core.analysis.drift import Outcome, UnderDrift
from core.foundation.jobs import Job
from core.hub.drift import SEVERITIES

FIXED, HELD = "fixed thresholds", "held cost"
PLAIN, LAST = "plain network", "last exit"
_PICTURES = 8
_JOB = "drift-job"


@dataclass(frozen=True)
class Drift:
    """What is looked at.

    Attributes:
        corruption: a name in `CORRUPTIONS`.
        severity: one of `SEVERITIES`.
        drop: the accuracy that may be lost against the plain network, in percentage points.
    """

    corruption: str = parameter("drift", "noise", choice(CORRUPTIONS))
    severity: float = parameter("drift-severity", 0.1, nearest(SEVERITIES), "{:g}".format)
    drop: float = parameter("drift-drop", 1.0, number(0, 50), "{:g}".format)


DRIFT = Settings("drift", Drift)


def drift_section(a: Configuration) -> None:
    """Show what corrupted images do to a configuration with early exits."""
    if a.card.num_exits == 1 or not resources.tables(a.view.model):
        return
    whose = f"{a.letter}’s policy" if a.letter else "This policy"
    st.html(
        section(
            "Under drift",
            f"{whose} on test images that have got worse: with its fixed thresholds, and with "
            "thresholds that follow the scores to hold the compute.",
        )
    )
    with sentences():
        _drift(a)


def _drift(a: Configuration) -> None:
    model = a.view.model
    source, missing = split_source(model, a.card)
    shipped = resources.shipped_drift(model)
    can_run = source.images is not None
    if not can_run and not shipped:
        st.info(_nothing(missing), icon=":material/photo_library:")
        return
    corruptions = list(CORRUPTIONS) if can_run else list(shipped)
    if DRIFT.now.corruption not in corruptions:
        DRIFT.change(corruption=corruptions[0])
    corruption = DRIFT.now.corruption
    severities = SEVERITIES if can_run else tuple(sorted(shipped[corruption]))
    if DRIFT.now.severity not in severities:
        DRIFT.change(severity=min(severities, key=lambda one: abs(one - DRIFT.now.severity)))
    _controls(corruptions, severities)
    computed = {one for one in SEVERITIES if resources.drifted(model, corruption, one)}
    severity = DRIFT.now.severity
    _run(a, source, corruption, computed, shipped=severity in shipped.get(corruption, {}))
    whole = severity in computed
    known = computed if whole else set(shipped.get(corruption, {}))
    _pictures(a, source)
    if severity not in known:
        return
    found = {
        one: resources.under_drift(model, whole, corruption, one, a.view.policy)
        for one in sorted(known | {0.0})
    }
    numbers, stream = st.columns([1.05, 1], gap="medium")
    with numbers:
        _figures(a, found)
    with stream:
        _stream(a, found[severity])
    _curves(a, found)
    st.html(f'<p class="ee-words">{_words(a)}</p>')


def _nothing(missing: str) -> str:
    models = [
        card.title
        for name, card in resources.cards_of(resources.model_names()).items()
        if resources.ships_drift(name)
    ]
    ready = f" Tables of corrupted images ship with {' and '.join(models)}." if models else ""
    return f"Corrupted images have to be run through the network. {missing}{ready}"


def _controls(corruptions: list[str], severities: tuple[float, ...]) -> None:
    kind, how_much, promise = st.columns([1, 1.6, 1], gap="medium")
    with kind:
        setting(
            DRIFT,
            "corruption",
            st.selectbox,
            "Corruption",
            corruptions,
            format_func=lambda name: CORRUPTIONS[name].title,
            help=" ".join(
                f"**{CORRUPTIONS[name].title}**: {CORRUPTIONS[name].description}"
                for name in corruptions
            ),
        )
    with how_much:
        setting(
            DRIFT,
            "severity",
            st.select_slider,
            "Severity",
            severities,
            format_func=lambda severity: f"{severity:.0%}",
            help="From the clean images to the strongest corruption there is.",
        )
    with promise:
        setting(
            DRIFT,
            "drop",
            st.number_input,
            "Guarantee: points below plain",
            0.0,
            50.0,
            step=0.5,
            format="%g",
            help="The accuracy that may be lost against the plain network: is that still kept?",
        )


def _run(
    a: Configuration, source: SampleSource, corruption: str, computed: set[float], shipped: bool
) -> None:
    """Show what can be computed on the whole split, or how far it is."""
    job: Job[None] | None = st.session_state.get(_JOB)
    if job is not None and job.running:
        waiting(job, "Stop", "Stop the computation. Severities that are complete are kept.")
        return
    if job is not None:
        del st.session_state[_JOB]
        if job.stage == "failed":
            show_mistake(job.mistake)
    of_some = "1,000 test images, whose tables ship with the model"
    if source.images is None:
        st.caption(
            f"Of {of_some}. With the data set on this machine "
            f"(`python -m core data prepare {a.card.dataset}`), the whole split and every "
            "corruption can be run here."
        )
        return
    missing = [one for one in SEVERITIES if one and one not in computed]
    chosen, count = DRIFT.now.severity, len(source.table)
    with st.container(horizontal=True, vertical_alignment="center"):
        if chosen in missing:
            _run_button(a, source, corruption, (chosen,), f"Run at {chosen:.0%}")
        if missing and missing != [chosen]:
            _run_button(a, source, corruption, tuple(missing), "Run at every severity")
        if chosen in computed:
            st.caption(f"All {count:,} test images, run here.")
        else:
            now = f"Now: {of_some}. " if shipped else ""
            st.caption(f"{now}A run takes all {count:,} through this and the plain network.")


def _run_button(
    a: Configuration,
    source: SampleSource,
    corruption: str,
    severities: tuple[float, ...],
    label: str,
) -> None:
    clicked = st.button(
        label,
        icon=":material/play_arrow:",
        help="In the background and in turns with other work, once for all visitors. It takes from "
        "some seconds to some minutes, by the size of the network.",
    )
    if clicked:
        assert source.images is not None
        images = source.images[source.table.ids]
        st.session_state[_JOB] = resources.drifting(a.view.model, images, corruption, severities)
        st.rerun()


def _pictures(a: Configuration, source: SampleSource) -> None:
    images, shipped = source.images, resources.samples(a.card)
    if images is None:
        if shipped is None:
            return
        images = shipped.images
    now = DRIFT.now
    apart = max(len(images) // _PICTURES, 1)
    drawn = "".join(
        f'<img src="{data_uri(corrupt(pixels, now.corruption, now.severity))}" alt="">'
        for pixels in images[::apart][:_PICTURES]
    )
    title = CORRUPTIONS[now.corruption].title.lower()
    label = escape(f"Some images under {title} of {now.severity:.0%}")
    st.html(f'<div class="ee-strip" role="img" aria-label="{label}">{drawn}</div>')


_VERDICTS = {
    "kept": Cell('<i class="ee-right">kept</i>'),
    "broken": Cell('<i class="ee-wrong">broken</i>'),
    "open": Cell("cannot be told"),
}


def _figures(a: Configuration, found: Mapping[float, UnderDrift]) -> None:
    clean, now = found[0.0], found[DRIFT.now.severity]
    both, allowed = (now.fixed, now.held), DRIFT.now.drop / 100
    reference = _reference(now)
    columns = [Column(""), *(Column(name.capitalize()) for name in (FIXED, HELD))]
    rows = [
        _row(
            "Relative cost",
            [text.percent(one.relative_cost) for one in both],
            "Mean MACs per image in units of the plain network, from the first corrupted image on.",
        ),
        _row(
            "… on clean images",
            [text.percent(one.relative_cost) for one in (clean.fixed, clean.held)],
            "Before the images changed.",
        ),
        _row(
            "… in the second half",
            [text.MISSING, text.percent(now.settled_cost)],
            "Of the corrupted images: the scores of clean ones are forgotten by then. To hold: "
            f"{text.percent(_wanted(a))}, as on calibration.",
        ),
        _row(
            "Accuracy",
            [text.percent(one.accuracy) for one in both],
            f"On the corrupted images. The {reference}: {text.percent(now.reference_accuracy)}.",
        ),
        _row(
            f"Against {text.percent(now.reference_accuracy)} of the {reference}",
            [_difference(one) for one in both],
            "On the same corrupted images, with its 95 % confidence interval.",
        ),
        _row(
            f"At most {text.points(allowed)} lost?",
            [_VERDICTS[one.verdict(allowed)] for one in both],
            "Kept or broken: the whole interval is on one side of it.",
        ),
    ]
    st.html(table(columns, rows, "ee-versus"))


def _row(title: str, cells: Sequence[str | Cell], meaning: str) -> Row:
    return Row([Cell(escape(title), hint(meaning)), *cells])


def _difference(outcome: Outcome) -> Cell:
    low, high = (
        text.signed(limit, f"{100 * abs(limit):.1f}") for limit in outcome.difference_interval
    )
    value = text.signed(outcome.difference, text.points(abs(outcome.difference)))
    return Cell(f"{value}<br>({low} to {high})")


def _reference(found: UnderDrift) -> str:
    return PLAIN if found.against_plain else LAST


def _wanted(a: Configuration) -> float:
    return resources.held_cost(a.view.model, a.view.policy).relative_cost


def _stream(a: Configuration, found: UnderDrift) -> None:
    plotly.show(
        along_the_stream(
            {FIXED: found.fixed_running_cost, HELD: found.held_running_cost},
            found.samples,
            _wanted(a),
        ),
        "drift-stream",
        "Cost along a stream of clean and then corrupted images, with fixed thresholds and with "
        "the cost held",
    )


def _curves(a: Configuration, found: Mapping[float, UnderDrift]) -> None:
    severity, severities = DRIFT.now.severity, list(found)
    fixed = [one.fixed for one in found.values()]
    held = [one.held for one in found.values()]
    accuracies = {
        FIXED: [one.accuracy for one in fixed],
        HELD: [one.accuracy for one in held],
        _reference(found[severity]): [one.reference_accuracy for one in found.values()],
    }
    costs = {
        FIXED: [one.relative_cost for one in fixed],
        HELD: [one.relative_cost for one in held],
    }
    left, right = st.columns(2, gap="medium")
    with left:
        plotly.show(
            over_severity(severities, costs, "relative cost", severity, _wanted(a)),
            "drift-cost",
            "Relative cost over severity, with fixed thresholds and with the cost held",
        )
    with right:
        plotly.show(
            over_severity(severities, accuracies, "accuracy", severity),
            "drift-accuracy",
            "Accuracy over severity, of fixed thresholds, of a held cost and of the plain network",
        )


def _words(a: Configuration) -> str:
    cost = resources.held_cost(a.view.model, a.view.policy)
    return (
        "Fixed thresholds stand where clean images put them. As images get worse, other shares of "
        "them leave early, so the compute drifts, and a guarantee from clean images says "
        "nothing any more. The controller keeps the recent scores of the images that reach each "
        "exit, and sets the threshold so that the share leaves that left on calibration. It reads "
        f"no labels; a score counts half after {cost.half_life} images. <b>So it holds the "
        "compute, and cannot hold the accuracy:</b> images leave that the exits are unsure of. "
        "On the command line and in Python: <code>--hold-cost</code>, <code>core.hold_cost</code>."
    )
