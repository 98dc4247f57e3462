"""Compare: two configurations on the same samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from app import resources, state, text
from app.charts import plotly
from app.components import model_choice
from app.components.changed_images import (
    Configuration,
    changed_images,
    listing,
    open_in_playground,
    picked,
)
from app.components.errors import sentences
from app.components.leaderboard import every_method
from app.components.readout import Reading, readout
from app.components.style import heading, section
from app.components.versus import A, B, Line, crossing, versus
from core.analysis.compare import Comparison, Differences, compare, differences, in_macs
from core.data.prepared import ImageSet
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy, read_thresholds, write_thresholds
from core.exits.report import Report
from core.exits.table import CostArray
from core.foundation.errors import UserError
from core.hub.card import Card

if TYPE_CHECKING:
    from core.deploy.benchmark import Timing

BATCHES = (1, 64)
SURE = 0.05
_OTHER, _TIMES = "compare-b", "compare-times"
_PREFIX = "b-"
_UNLIKE = " Compute grows by factors along the axis, as the networks differ in size."


@dataclass(frozen=True)
class Side(Configuration):
    """One of the two configurations, and how to change it."""

    letter: str
    choose: Callable[[state.View], None]

    def named(self) -> str:
        """Return its model and what it judges by, for a legend."""
        if self.card.num_exits == 1:
            return f"{self.letter}: {self.card.title}"
        criterion = CRITERIA[self.view.policy.criterion].title.lower()
        return f"{self.letter}: {self.card.title}, {criterion}"

    def exits(self) -> list[str]:
        """Return the names of its exits."""
        count = self.card.num_exits
        return [text.exit_name(index, count) for index in range(count)]


def page() -> None:
    """Show the page."""
    heading(
        "Compare",
        "Two configurations on the same test images: what changes, and could it be chance?",
    )
    names = model_choice.models_to_choose()
    view = state.open_view(names, resources.card_of)
    a = Side(view, resources.card_of(view.model), "A", state.choose)
    peers = [name for name in names if resources.card_of(name).dataset == a.card.dataset]
    other, note = _other(a, peers)
    b = Side(other, resources.card_of(other.model), "B", _choose_other)
    clicked = picked(a, b)
    if clicked is not None:
        if clicked[0] is b:  # what the other pages show is A, so both change places
            _choose_other(a.view)
        open_in_playground(*clicked)
    left, right = st.columns(2, gap="medium")
    with left:
        _side(a, names, "Shared with the other pages.")
    with right:
        _side(b, peers, note)
    with sentences():
        _compared(a, b)
    every_method(a.card.dataset, names)
    of_b = {_PREFIX + name: value for name, value in other.to_query().items()}
    state.write_url(of_b | listing().to_query())


def _other(a: Side, peers: Sequence[str]) -> tuple[state.View, str]:
    """Return B, from the session or the link, and a word on where it comes from."""
    if _OTHER not in st.session_state:
        query = {
            name.removeprefix(_PREFIX): value
            for name, value in st.query_params.items()
            if name.startswith(_PREFIX)
        }
        st.session_state[_OTHER] = (
            state.from_query(query, [query["model"]], resources.card_of)
            if query.get("model") in peers
            else _another(a, peers)
        )
    other: state.View = st.session_state[_OTHER]
    if other.model not in peers:
        st.session_state[_OTHER] = _another(a, peers)
        return st.session_state[_OTHER], (
            "Chosen anew: networks for other data sets have no images in common with A."
        )
    return other, "Any model for the same data set as A."


def _another(a: Side, peers: Sequence[str]) -> state.View:
    """Return something worth comparing A with: its boldest operating point, or another model."""
    costs = {
        point.calibration.relative_cost: Policy.from_dict(point.policy)
        for point in a.card.operating_points
        if point.calibration is not None
    }
    for _, policy in sorted(costs.items(), key=lambda item: item[0]):
        if policy != a.view.policy:
            return state.View(a.view.model, policy)
    others = [name for name in peers if name != a.view.model]
    model = others[0] if others else a.view.model
    return state.View(model, resources.card_of(model).default_policy)


def _choose_other(view: state.View) -> None:
    st.session_state[_OTHER] = view


def _side(side: Side, names: Sequence[str], note: str) -> None:
    st.html(section({"A": A, "B": B}[side.letter], note))
    _model(side, names)
    if side.card.num_exits == 1:
        st.caption("A plain network: every image goes to its end, so there is nothing to set.")
        return
    point, criterion = st.columns([1.45, 1], gap="small")
    with point:
        _point(side)
    with criterion:
        _criterion(side)
    _thresholds(side)


def _key(side: Side, name: str) -> str:
    return f"{side.letter}-{name}"


def _model(side: Side, names: Sequence[str]) -> None:
    key = _key(side, "model")

    def changed() -> None:
        name = st.session_state[key]
        policy = resources.card_of(name).default_policy
        side.choose(replace(side.view, model=name, policy=policy))

    titles = {name: resources.card_of(name).title for name in names}
    st.session_state[key] = side.view.model
    st.selectbox(
        "Model",
        names,
        key=key,
        on_change=changed,
        format_func=titles.__getitem__,
        help="Only models of one data set can be compared: both sides have to answer the same "
        "images. B follows the data set of A.",
    )


def _point(side: Side) -> None:
    key = _key(side, "point")
    policies = model_choice.point_policies(side.card)
    same = (name for name, one in policies.items() if one == side.view.policy)
    current = next(same, model_choice.OWN)

    def changed() -> None:
        if st.session_state[key] in policies:
            side.choose(replace(side.view, policy=policies[st.session_state[key]]))

    st.session_state[key] = current
    st.selectbox(
        "Operating point",
        [*policies, *([model_choice.OWN] if current == model_choice.OWN else [])],
        key=key,
        on_change=changed,
        format_func=lambda name: model_choice.point_title(side.card, name),
        help=model_choice.POINT_HELP,
    )


def _criterion(side: Side) -> None:
    key = _key(side, "criterion")

    def changed() -> None:
        policy = replace(side.view.policy, criterion=st.session_state[key])
        side.choose(replace(side.view, policy=policy))

    st.session_state[key] = side.view.policy.criterion
    st.selectbox(
        "Criterion",
        side.card.criteria,
        key=key,
        on_change=changed,
        format_func=lambda name: CRITERIA[name].title,
        help=model_choice.criterion_help(side.card),
    )


def _thresholds(side: Side) -> None:
    key, wrong = _key(side, "thresholds"), _key(side, "mistake")

    def typed() -> None:
        try:
            policy = read_thresholds(st.session_state[key], side.view.policy)
        except UserError as error:
            st.session_state[wrong] = str(error)
        else:
            side.choose(replace(side.view, policy=policy))

    st.session_state[key] = write_thresholds(side.view.policy)
    st.text_input(
        "Thresholds",
        key=key,
        on_change=typed,
        max_chars=200,
        help="One for each early exit, from 0 to 1, such as 0.9, 0.8. An image leaves where its "
        "score is greater. “off” switches an exit off.",
    )
    mistake = st.session_state.pop(wrong, None)
    if mistake:
        st.error(mistake, icon=":material/error:")


def _compared(a: Side, b: Side) -> None:
    tables = [resources.tables(side.view.model)["test"] for side in (a, b)]
    found = compare(tables[0], a.view.policy, tables[1], b.view.policy)
    chart, numbers = st.columns([1, 1.05], gap="medium")
    with chart:
        st.html(
            section(
                "Accuracy against compute",
                f"All {found.first.samples:,} test images. Lines: the best thresholds there are."
                + (_UNLIKE if _unlike(a, b) else ""),
            )
        )
        _chart(a, b, found)
    with numbers:
        _numbers(a, b, found)
    _changes(a, b, found)


def _chart(a: Side, b: Side, found: Comparison) -> None:
    unlike = _unlike(a, b)
    compared = {a.view.model, b.view.model}
    lines, here, plain = [], [], {}
    for side, report in ((a, found.first), (b, found.second)):
        scale = side.card.plain_macs if unlike else 1
        lines.append(_line(side, scale))
        cost = in_macs(report.relative_cost, scale)
        here.append(plotly.Spot(side.named(), cost, report.accuracy))
        if side.card.plain is not None and side.card.plain.name not in compared:
            name = _plain_title(side.card.plain.name)
            plain[name] = plotly.Spot(name, in_macs(1.0, scale), side.card.plain.test_accuracy)
    st.plotly_chart(
        plotly.accuracy_and_cost(lines, here, list(plain.values()), unlike),
        key="compare-chart",
        config=plotly.CONFIG,
        alt=f"Accuracy against compute of {a.named()} and of {b.named()}",
    )


def _unlike(a: Side, b: Side) -> bool:
    return a.card.plain_macs != b.card.plain_macs


def _plain_title(name: str) -> str:
    return resources.card_of(name).title if name in resources.model_names() else f"{name}, plain"


def _line(side: Side, scale: int) -> tuple[str, CostArray, CostArray] | None:
    if side.card.num_exits == 1:
        return None
    costs, accuracies, _ = resources.reachable_on(
        side.view.model, side.view.policy.criterion, "test"
    )
    return side.named(), in_macs(costs, scale), accuracies


def _numbers(a: Side, b: Side, found: Comparison) -> None:
    key = (a.view.model, a.card.sha256, a.view.policy, b.view.model, b.card.sha256, b.view.policy)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.html(section("Figure by figure"))
        clicked = st.button(
            "Measure here",
            icon=":material/timer:",
            help="Really run both networks on this machine, skipping what their policies skip: "
            f"one image at a time and in batches of {BATCHES[-1]}, in turns. It takes some "
            "seconds; other visitors make it slower for both alike.",
        )
    place = st.empty()
    if clicked:
        with sentences(), st.spinner("Running both networks in turns …"):
            st.session_state[_TIMES] = (key, _measured(a, b))
    known, races = st.session_state.get(_TIMES, (None, {}))
    place.html(versus([*_lines(a, b, found), *_times(races if known == key else {})]))


def _lines(a: Side, b: Side, found: Comparison) -> list[Line]:
    first, second = found.first, found.second
    apart = differences(found, a.card.plain_macs, b.card.plain_macs)
    points = text.points
    lines = [
        Line(
            "Accuracy",
            text.percent(first.accuracy, 2),
            text.percent(second.accuracy, 2),
            text.signed(apart.accuracy, points(abs(apart.accuracy))),
            "On the test split.",
        ),
        Line(
            "Relative cost",
            text.percent(first.relative_cost),
            text.percent(second.relative_cost),
            text.signed(apart.relative_cost, points(abs(apart.relative_cost))),
            "Mean MACs per image in units of each one's own plain network. Networks of other "
            "sizes have no such unit in common: compare their MACs.",
        ),
        Line(
            "MACs per image",
            text.macs(a.card.macs(first.relative_cost)),
            text.macs(b.card.macs(second.relative_cost)),
            _factor(apart),
            "Multiply-accumulates, heads included, on average.",
        ),
    ]
    names = a.exits() if a.card.num_exits >= b.card.num_exits else b.exits()
    shares = [
        Line(f"Leave at {name}", _share(a, first, name), _share(b, second, name), "")
        for name in names
    ]
    return [*lines, *shares]


def _factor(apart: Differences) -> str:
    more = text.signed(apart.macs, text.macs(round(abs(apart.macs))))
    return f"{text.times(apart.times)} ({more})"


def _share(side: Side, report: Report, name: str) -> str:
    shares = dict(zip(side.exits(), report.exit_share, strict=True))
    return text.share(shares[name]) if name in shares else text.MISSING


def _times(races: "dict[int, Timing]") -> list[Line]:
    lines = []
    for size in BATCHES:
        title = "Time, one by one" if size == 1 else f"Time, {size} at once"
        meaning = "Per image: median of three runs over the same 128 images on this machine."
        line = Line(title, text.MISSING, text.MISSING, "measure it", meaning)
        if size in races:
            first, second = races[size].seconds
            line = Line(
                title,
                text.milliseconds(first),
                text.milliseconds(second),
                text.times(races[size].ratio),
                meaning,
            )
        lines.append(line)
    return lines


def _measured(a: Side, b: Side) -> "dict[int, Timing]":
    images = _images(a.card)
    if images is None:
        raise UserError(
            f"expected pictures of {text.dataset(a.card.dataset)} to run the networks on, "
            "but there are none; "
            f"fetch them with `python -m core data prepare {a.card.dataset}`."
        )
    entries = [(side.view.model, side.view.policy) for side in (a, b)]
    return {size: resources.raced(entries, images.images, size) for size in BATCHES}


def _images(card: Card) -> ImageSet | None:
    try:
        images = resources.test_images(card.dataset)
    except UserError:
        images = None
    return resources.samples(card.dataset) if images is None else images


def _changes(a: Side, b: Side, found: Comparison) -> None:
    st.html(section("What changes", "Image by image, from A to B."))
    samples = found.first.samples
    exits = "–" if found.changed_exit is None else f"{found.changed_exit:,}"
    st.html(
        '<div class="ee-live">'
        + readout(
            [
                Reading("answer", "Another answer", f"{found.changed_answer:,}", f"of {samples:,}"),
                Reading("right", "Wrong → right", f"{found.to_right:,}", "B mends", tone="right"),
                Reading("wrong", "Right → wrong", f"{found.to_wrong:,}", "B spoils", tone="wrong"),
                Reading(
                    "exit",
                    "Another exit",
                    exits,
                    f"of {samples:,}"
                    if found.changed_exit is not None
                    else "they have different exits",
                ),
            ]
        )
        + "</div>"
    )
    words, table = st.columns([1, 1.15], gap="medium")
    with words:
        st.html(section("Could it be chance?") + f'<p class="ee-words">{_chance(found)}</p>')
    with table:
        st.html(
            section("Who moved where", "Images by the exit of A (down) and of B (across).")
            + crossing(found.exits, a.exits(), b.exits())
        )
    changed_images(a, b, found)


def _chance(found: Comparison) -> str:
    apart = found.to_right + found.to_wrong
    if not apart:
        return "Both are right on the same images, so there is nothing that chance could explain."
    told = (
        f"On {text.plural(apart, 'image')} just one of the two is right: "
        f"B {found.to_right:,} times, A {found.to_wrong:,} times. If both were equally good, a "
        f"split at least as uneven would come about in <b>{text.odds(found.p_value)}</b> test "
        f"sets like this one (McNemar’s exact test, p {_p_value(found.p_value)}). "
    )
    if found.p_value >= SURE:
        return told + "<b>These images do not tell which one is better.</b>"
    better = "B" if found.to_right > found.to_wrong else "A"
    return told + f"<b>{better} answers better; chance alone is an unlikely explanation.</b>"


def _p_value(value: float) -> str:
    return f"= {value:.2g}" if value >= 0.0001 else "below 0.0001"
