"""All methods on one data set: one chart and one table, on the Compare page."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from app import charts, resources, wording
from app.components.style import section
from core.criteria import CRITERIA
from core.methods import title_of
from core.tuning.standings import BUDGETS, Figures, Standing

_SHOWN = "every-method"


def every_method(dataset: str, names: Sequence[str]) -> None:
    """Offer the comparison of all early-exit models of a data set, and show it once asked for.

    Args:
        dataset: its name.
        names: all models there are.
    """
    cards = [resources.card_of(name) for name in names]
    rivals = [card for card in cards if card.dataset == dataset and card.num_exits > 1]
    st.html(
        section(
            f"Every method on {dataset}",
            "Each by its own score; thresholds chosen on calibration, shown on test.",
        )
    )
    if st.session_state.get(_SHOWN) != dataset:
        if st.button(
            f"Compare all {len(rivals)} models",
            icon=":material/monitoring:",
            help="Searches the best thresholds of each, which takes some seconds the first time.",
        ):
            st.session_state[_SHOWN] = dataset
            st.rerun()
        return
    found = [resources.standing(card.name) for card in rivals]
    titles = {card.name: card.title for card in cards}
    plains = {one.plain: one.plain_accuracy for one in found}
    st.plotly_chart(
        charts.every_method(
            [(titles[one.name], one.cost, one.accuracy) for one in found],
            [
                charts.Spot(titles.get(name, f"{name}, plain"), 1.0, accuracy)
                for name, accuracy in plains.items()
            ],
        ),
        key="every-method-chart",
        config=charts.CONFIG,
        alt=f"Accuracy against compute of {', '.join(titles[one.name] for one in found)}",
    )
    st.html(_table(found))


def _table(found: Sequence[Standing]) -> str:
    budgets = "".join(
        f'<th scope="col" title="Accuracy on test, and the cost on test, of the most accurate '
        f'thresholds that spend at most so much on calibration">at most {budget:.0%}</th>'
        for budget in BUDGETS
    )
    head = (
        '<th scope="col">Method</th>'
        '<th scope="col" title="The method\'s own score">Decides by</th>'
        f'{budgets}<th scope="col" title="How well its score tells right answers from wrong ones, '
        'exit by exit: 1 always, ½ never">AUROC</th>'
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(title_of(one.method))}<br>'
        f"<small>{escape(one.name)}</small></th>"
        f"<td>{escape(CRITERIA[one.criterion].title)}</td>"
        + "".join(f"<td>{_cell(one.within_budget[budget])}</td>" for budget in BUDGETS)
        + f"<td>{' · '.join(f'{value:.3f}' for value in one.auroc[:-1])}</td></tr>"
        for one in found
    )
    return (
        f'<div class="ee-table ee-methods"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(figures: Figures | None) -> str:
    if figures is None:
        return f'<span title="out of reach">{wording.MISSING}</span>'
    return (
        f"<b>{wording.percent(figures.accuracy)}</b><br>"
        f"<small>at {wording.percent(figures.relative_cost)}</small>"
    )
