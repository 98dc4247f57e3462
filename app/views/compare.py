"""Compare: two configurations on the same samples."""

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from app import resources, state, text
from app.charts import accuracy_cost, plotly
from app.components.changed_images import LISTING, changed_images, picked
from app.components.drift import DRIFT, drift_section
from app.components.errors import sentences, show_mistake
from app.components.html import (
    Cell,
    Column,
    Reading,
    Row,
    heading,
    hint,
    readings,
    section,
    table,
    why,
)
from app.components.leaderboard import leaderboard
from app.components.model_choice import (
    Configuration,
    at_the_same_cost,
    criterion_choice,
    instead,
    model_choice,
    models_to_choose,
    open_configuration,
    point_choice,
    split_note,
)
from app.components.picture_choice import open_in_playground
from app.components.sample_filters import Filters
from app.components.slices import slice_choice
from app.components.widgets import bound
from core.analysis.compare import Comparison, Differences, differences, in_macs
from core.analysis.samples import select
from core.data.prepared import ImageSet
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy, read_thresholds, write_thresholds
from core.exits.report import Report
from core.exits.table import CostArray
from core.foundation.errors import UserError
from core.hub.card import Card

if TYPE_CHECKING:
    from core.deploy.benchmark import Latency
    from core.deploy.runtimes import Runtime

A, B = '<i class="ee-side-a">●</i> A', '<i class="ee-side-b">■</i> B'
BATCHES = (1, 64)
SURE = 0.05
_OTHER, _OTHER_INSTEAD, _TIMES = "compare-b", "compare-b-instead", "compare-times"
_PREFIX = "b-"
_UNLIKE = " Compute grows by factors along the axis, as the networks differ in size."


def page() -> None:
    """Show the page."""
    heading(
        "Compare",
        "Two configurations on the same images: what changes, and could it be chance?",
    )
    names = models_to_choose()
    a = open_configuration(names, "A")
    cards = resources.cards_of(names)
    peers = [name for name, card in cards.items() if _comparable(card, a.card)]
    other, note = _other(a, peers)
    b = Configuration(other, resources.card_of(other.model), _choose_other, "B")
    clicked = picked(a, b)
    if clicked is not None:
        side, source, position = clicked
        if side is b:  # what the other pages show is A, so both change places
            _choose_other(a.view)
        state.choose(side.view)
        open_in_playground(source, position, side.card)
    instead(state.shown_instead(_OTHER_INSTEAD, b.view))
    left, right = st.columns(2, gap="medium")
    with left:
        _side(a, A, names, "Shared with the other pages.")
    with right:
        _side(b, B, peers, note)
    with sentences():
        split_note(a.view.model, b.view.model)
        _compared(a, b)
    drift_section(a)
    leaderboard(a.card.dataset, names)
    of_b = {_PREFIX + name: value for name, value in other.to_query().items()}
    state.write_url(of_b | LISTING.to_query() | DRIFT.to_query())


def _comparable(card: Card, other: Card) -> bool:
    """Whether a model may have been measured on the images of another, or is that one."""
    return card == other or (card.dataset == other.dataset and bool(card.per_exit_accuracy))


def _other(a: Configuration, peers: Sequence[str]) -> tuple[state.View, str]:
    """Return B, from the session or the link, and a word on where it comes from."""
    if _OTHER not in st.session_state or state.follows(_OTHER):
        query = {
            name.removeprefix(_PREFIX): value
            for name, value in st.query_params.items()
            if name.startswith(_PREFIX)
        }
        wanted, another = query.get("model", ""), _another(a, peers)
        names = [wanted if wanted in peers else another.model]
        found, sentence = state.read_view(query, names, resources.card_of, at_the_same_cost)
        other = found if wanted in peers else another
        st.session_state[_OTHER] = other
        if wanted not in resources.model_names() or wanted in peers:
            st.session_state[_OTHER_INSTEAD] = other, sentence
    other = st.session_state[_OTHER]
    if other.model not in peers:
        st.session_state[_OTHER] = _another(a, peers)
        return st.session_state[_OTHER], (
            "Chosen anew: networks for other data sets have no images in common with A."
        )
    return other, "Any model for the same data set as A."


def _another(a: Configuration, peers: Sequence[str]) -> state.View:
    """Return something worth comparing A with: the network with exits that is most like it.

    Where there is none, another operating point of its own.
    """
    cards = resources.cards_of(peers)

    def unlikeness(name: str) -> tuple[bool, float]:
        card = cards[name]
        return card.method == a.card.method, abs(math.log(card.plain_macs / a.card.plain_macs))

    others = [name for name, card in cards.items() if name != a.view.model and card.num_exits > 1]
    if others:
        model = min(others, key=unlikeness)
        return state.View(model, cards[model].default_policy)
    points = [Policy.from_dict(point.policy) for point in a.card.operating_points]
    policy = next((one for one in points if one != a.view.policy), a.view.policy)
    return state.View(a.view.model, policy)


def _choose_other(view: state.View) -> None:
    st.session_state[_OTHER] = view


def _side(side: Configuration, title: str, names: Sequence[str], note: str) -> None:
    st.html(section(title, note))
    model_choice(
        side,
        names,
        "Only models of one data set can be compared: both sides have to answer the same images. "
        "B follows the data set of A.",
    )
    if side.card.num_exits == 1:
        st.caption("A plain network: every image goes to its end, so there is nothing to set.")
        return
    point, criterion = st.columns([1.45, 1], gap="small")
    with point:
        point_choice(side)
    with criterion:
        criterion_choice(side)
    _thresholds(side)


def _thresholds(side: Configuration) -> None:
    mistake = side.key("mistake")

    def choose(typed: str) -> None:
        try:
            side.choose_policy(read_thresholds(typed, side.view.policy))
        except UserError as error:
            st.session_state[mistake] = str(error)

    bound(
        st.text_input,
        "Thresholds",
        key=side.key("thresholds"),
        value=write_thresholds(side.view.policy),
        choose=choose,
        max_chars=200,
        help="One for each early exit, from 0 to 1, such as 0.9, 0.8. An image leaves where its "
        "score is greater. “off” switches an exit off.",
    )
    if mistake in st.session_state:
        show_mistake(st.session_state.pop(mistake))


def _title(side: Configuration) -> str:
    """Return the letter, the model and the criterion, for a legend."""
    if side.card.num_exits == 1:
        return f"{side.letter}: {side.card.title}"
    criterion = CRITERIA[side.view.policy.criterion].title.lower()
    return f"{side.letter}: {side.card.title}, {criterion}"


def _compared(a: Configuration, b: Configuration) -> None:
    split = resources.shown_split(a.view.model)
    comparison = resources.comparison(a.view.model, a.view.policy, b.view.model, b.view.policy)
    chart, numbers = st.columns([1, 1.05], gap="medium")
    with chart:
        st.html(
            section(
                "Accuracy against compute",
                f"All {len(comparison):,} {split} images. Lines: the best thresholds there are."
                + (_UNLIKE if _unlike(a, b) else ""),
            )
        )
        _chart(a, b, comparison, split)
    with numbers:
        _numbers(a, b, comparison)
    _changes(a, b, comparison)


def _chart(a: Configuration, b: Configuration, comparison: Comparison, split: str) -> None:
    unlike = _unlike(a, b)
    compared = {a.view.model, b.view.model}
    lines, here, plain = [], [], {}
    for side, report in ((a, comparison.first), (b, comparison.second)):
        scale = side.card.plain_macs if unlike else 1
        lines.append(_line(side, scale))
        cost = in_macs(report.relative_cost, scale)
        here.append(accuracy_cost.Spot(_title(side), cost, report.accuracy))
        if side.card.plain is not None and side.card.plain.name not in compared:
            name = _plain_title(side.card.plain.name)
            accuracy = side.card.reference_accuracy(split)
            plain[name] = accuracy_cost.Spot(name, in_macs(1.0, scale), accuracy)
    plotly.show(
        accuracy_cost.accuracy_and_cost(lines, here, list(plain.values()), unlike),
        "compare-chart",
        f"Accuracy against compute of {_title(a)} and of {_title(b)}",
    )


def _unlike(a: Configuration, b: Configuration) -> bool:
    return a.card.plain_macs != b.card.plain_macs


def _plain_title(name: str) -> str:
    return resources.card_of(name).title if name in resources.model_names() else f"{name}, plain"


def _line(side: Configuration, scale: int) -> tuple[str, CostArray, CostArray] | None:
    if side.card.num_exits == 1:
        return None
    model, policy = side.view.model, side.view.policy
    split = resources.shown_split(model)
    costs, accuracies, _ = resources.front_on(model, policy.criterion, policy.temperatures, split)
    return _title(side), in_macs(costs, scale), accuracies


def _numbers(a: Configuration, b: Configuration, comparison: Comparison) -> None:
    key = (a.view.model, a.card.sha256, a.view.policy, b.view.model, b.card.sha256, b.view.policy)
    st.html(section("Figure by figure"))
    comparison, ranged = _part_of(a, comparison, slice_choice(a.card, "compare-slice"))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = _runtimes()
        clicked = st.button(
            "Measure here",
            icon=":material/timer:",
            disabled=not chosen,
            help="Really run both networks on this machine, skipping what their policies skip: "
            f"one image at a time and in batches of {BATCHES[-1]}, in turns. It takes some "
            "seconds; other visitors make it slower for both alike.",
        )
    place = st.empty()
    if clicked:
        with sentences(), st.spinner("Running both networks in turns …"):
            st.session_state[_TIMES] = (key, _measured(a, b, chosen))
    known, timings = st.session_state.get(_TIMES, (None, {}))
    columns = [Column("Figure"), Column(Cell(A)), Column(Cell(B)), Column("B against A")]
    rows = [*_figures(a, b, comparison, ranged), *_times(timings if known == key else {}, chosen)]
    place.html(
        table(columns, rows, "ee-versus")
        + why(
            "Grey: where a difference lies on new images, with a confidence of 95 %",
            "Both sides have seen the same images, so what both find hard cancels out (Tango’s "
            "interval for pairs; 1.96 standard errors of the mean difference in compute). The "
            "ranges are true of configurations that were not chosen by these images.",
        )
    )


def _part_of(
    a: Configuration, comparison: Comparison, part: Filters | None
) -> tuple[Comparison, bool]:
    """Return the comparison on a slice, and whether nothing chose its images by their answers."""
    if part is None:
        return comparison, True
    positions = select(comparison.a, part.selection(a.card))
    if not len(positions):
        st.caption("No image is in this slice under A: the figures are of all images.")
        return comparison, True
    told = f"The figures are of the {text.plural(len(positions), 'image')} of this slice."
    if not part.by_label_alone:
        told += (
            " A’s exits, answers or scores select them, which favours one side: so no ranges are "
            "given."
        )
    st.caption(told)
    return comparison.select(positions), part.by_label_alone


def _runtimes() -> "list[tuple[Runtime, str]]":
    every = {_runtime_title(*one): one for one in resources.runtimes()}
    titles = st.multiselect(
        "Runtimes",
        list(every),
        [next(iter(every))],
        key="compare-runtimes",
        help="What runs the networks: the libraries that are installed on this machine, and the "
        "numbers they compute with. With bfloat16 some answers change.",
    )
    return [one for title, one in every.items() if title in titles]


def _runtime_title(runtime: "Runtime", precision: str) -> str:
    return f"{runtime.title}, {precision}"


def _row(title: str, first: str, second: str, change: str | Cell, meaning: str = "") -> Row:
    return Row([Cell(escape(title), hint(meaning)), first, second, change])


def _figures(a: Configuration, b: Configuration, comparison: Comparison, ranged: bool) -> list[Row]:
    first, second = comparison.first, comparison.second
    apart = differences(comparison, a.card.plain_macs, b.card.plain_macs)
    tested = all(resources.shown_split(side.view.model) == "test" for side in (a, b))

    def within(change: str, limits: tuple[float, float]) -> str | Cell:
        # Calibration images have chosen thresholds: no range is true of them.
        if not (tested and ranged) or math.isnan(limits[0]):
            return change
        return Cell(f'{change}<small class="ee-range">{text.apart_interval(limits)}</small>')

    points = text.points
    rows = [
        _row(
            "Accuracy",
            text.percent(first.accuracy, 2),
            text.percent(second.accuracy, 2),
            within(
                text.signed(apart.accuracy, points(abs(apart.accuracy))), apart.accuracy_interval
            ),
            "On the images above.",
        ),
        _row(
            "Relative cost",
            text.percent(first.relative_cost),
            text.percent(second.relative_cost),
            within(
                text.signed(apart.relative_cost, points(abs(apart.relative_cost))),
                apart.relative_cost_interval,
            ),
            "Mean MACs per image in units of each one's own plain network. Networks of other "
            "sizes have no such unit in common: compare their MACs.",
        ),
        _row(
            "MACs per image",
            text.macs(a.card.macs(first.relative_cost)),
            text.macs(b.card.macs(second.relative_cost)),
            _factor(apart),
            "Multiply-accumulates, heads included, on average.",
        ),
    ]
    deeper = a if a.card.num_exits >= b.card.num_exits else b
    shares = [
        _row(f"Leave at {name}", _share(a, first, name), _share(b, second, name), "")
        for name in deeper.exit_names
    ]
    return [*rows, *shares]


def _factor(apart: Differences) -> str:
    more = text.signed(apart.macs, text.macs(round(abs(apart.macs))))
    return f"{text.times(apart.times)} ({more})"


def _share(side: Configuration, report: Report, name: str) -> str:
    shares = dict(zip(side.exit_names, report.exit_share, strict=True))
    return text.share(shares[name]) if name in shares else text.MISSING


_Times = dict[tuple[int, str], "tuple[Latency, ...]"]
"""Of A and B, by batch size and runtime."""


def _times(timings: _Times, chosen: "Sequence[tuple[Runtime, str]]") -> list[Row]:
    meaning = (
        "Per image: the mean over the same 128 images on this machine, each the median of three "
        "runs. Grey: what half of the images, and what 95 % of them, do not exceed."
    )
    rows = []
    for size in BATCHES:
        how = "one by one" if size == 1 else f"{size} at once"
        for one in chosen:
            runtime = _runtime_title(*one)
            title = Cell(
                f'Time, {how}<small class="ee-range">{escape(runtime)}</small>', hint(meaning)
            )
            found = timings.get((size, runtime))
            if found is None:
                rows.append(Row([title, text.MISSING, text.MISSING, "measure it"]))
                continue
            a, b = found
            change = text.times(b.per_image / a.per_image)
            rows.append(Row([title, _time(a, size), _time(b, size), change]))
    return rows


def _time(latency: "Latency", size: int) -> str | Cell:
    mean = text.milliseconds(latency.per_image)
    if size > 1:
        return mean
    half, most = (text.milliseconds(latency.percentile(percent)) for percent in (50, 95))
    return Cell(f'{mean}<small class="ee-range">{half} · {most}</small>')


def _measured(
    a: Configuration, b: Configuration, chosen: "Sequence[tuple[Runtime, str]]"
) -> _Times:
    images = _images(a.card)
    if images is None:
        raise UserError(
            f"expected pictures of {text.dataset(a.card.dataset)} to run the networks on, "
            "but there are none; "
            f"fetch them with `python -m core data prepare {a.card.dataset}`."
        )
    entries = [(side.view.model, side.view.policy) for side in (a, b)]
    times = resources.timed(entries, images.images, BATCHES, chosen)
    return {
        (size, _runtime_title(*one)): both
        for size, by_runtime in times.items()
        for one, both in zip(chosen, by_runtime, strict=True)
    }


def _images(card: Card) -> ImageSet | None:
    try:
        images = resources.test_images(card)
    except UserError:
        images = None
    return resources.samples(card) if images is None else images


def _changes(a: Configuration, b: Configuration, comparison: Comparison) -> None:
    of_all = f"of {len(comparison):,}"
    changed, to_right, to_wrong = (
        f"{count:,}"
        for count in (comparison.changed_answer, comparison.to_right, comparison.to_wrong)
    )
    other_exit = comparison.changed_exit
    st.html(
        section("What changes", "Image by image, from A to B.")
        + readings(
            [
                Reading("answer", "Another answer", changed, of_all),
                Reading("right", "Wrong → right", to_right, "only B is right", tone="right"),
                Reading("wrong", "Right → wrong", to_wrong, "only A is right", tone="wrong"),
                Reading(
                    "exit",
                    "Another exit",
                    text.MISSING if other_exit is None else f"{other_exit:,}",
                    "they have different exits" if other_exit is None else of_all,
                ),
            ]
        )
    )
    words, moves = st.columns([1, 1.15], gap="medium")
    with words:
        st.html(section("Could it be chance?") + f'<p class="ee-words">{_chance(comparison)}</p>')
    with moves:
        st.html(
            section(
                "Exits of A and of B",
                "Images by the exit where they leave in A (down) and in B (across).",
            )
            + _moves(a, b, comparison)
        )
    changed_images(a, b, comparison)


def _moves(a: Configuration, b: Configuration, comparison: Comparison) -> str:
    """Return how many samples leave at which exit of A and which of B."""
    most = max(int(comparison.exits.max()), 1)
    columns = [Column(""), *(Column(Cell(f"{B} <br>{name}")) for name in b.exit_names)]
    rows = [
        Row([Cell(f"{A}: {name}"), *(_move(count, count / most) for count in counts)])
        for name, counts in zip(a.exit_names, comparison.exits.tolist(), strict=True)
    ]
    return table(columns, rows, "ee-crossing")


def _move(count: int, share: float) -> Cell:
    none = "" if count else " class=ee-none"
    return Cell(f"{count:,}", f'style="--share:{55 * share:.1f}%"{none}')


def _chance(comparison: Comparison) -> str:
    apart = comparison.to_right + comparison.to_wrong
    if not apart:
        return "Both are right on the same images: there is no difference to explain."
    told = (
        f"On {text.plural(apart, 'image')} just one of the two is right: "
        f"B {comparison.to_right:,} times, A {comparison.to_wrong:,} times. If both were equally "
        "good, a split at least as uneven would come about in "
        f"<b>{text.odds(comparison.p_value)}</b> such sets of images "
        f"(McNemar’s exact test, p {_p_value(comparison.p_value)}). "
    )
    if comparison.p_value >= SURE:
        return told + "<b>These images do not tell which one is better.</b>"
    better = "B" if comparison.to_right > comparison.to_wrong else "A"
    return told + f"<b>{better} answers better; chance alone is an unlikely explanation.</b>"


def _p_value(value: float) -> str:
    return f"= {value:.2g}" if value >= 0.0001 else "below 0.0001"
