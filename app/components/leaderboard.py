"""All methods on one data set: one chart and one table, on the Compare page."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from app import resources, text
from app.charts import plotly
from app.components.style import section
from core.exits.criteria import CRITERIA
from core.hub.leaderboard import BUDGETS, Entry, Figures
from core.hub.methods import title_of
from core.hub.sizes import size_curve

_SHOWN = "every-method"


def every_method(dataset: str, names: Sequence[str]) -> None:
    """Offer the comparison of all early-exit models of a data set, and show it once asked for.

    Args:
        dataset: its name.
        names: all models there are.
    """
    cards = [resources.card_of(name) for name in names]
    rivals = [card for card in cards if card.dataset == dataset and card.num_exits > 1]
    sizes = size_curve(cards, dataset)
    st.html(
        section(
            f"Every method on {text.dataset(dataset)}",
            "Each by its own score; thresholds chosen on calibration, shown on test."
            + (
                " The dotted line joins the best plain networks: below it, small ones do as well."
                if len(sizes) > 1
                else ""
            ),
        )
    )
    if st.session_state.get(_SHOWN) != dataset:
        if st.button(
            f"Compare {text.plural(len(rivals), 'model')} with plain networks",
            icon=":material/monitoring:",
            help="Searches the best thresholds of each, which takes some seconds the first time.",
        ):
            st.session_state[_SHOWN] = dataset
            st.rerun()
        return
    found = [resources.standing(card.name) for card in rivals]
    plain = {  # the best of each backbone comes last, and stays
        card.spec.backbone: plotly.Spot(
            card.spec.backbone, card.plain_macs, card.per_exit_accuracy["test"][-1]
        )
        for card in sorted(cards, key=lambda card: card.per_exit_accuracy["test"][-1])
        if card.dataset == dataset and card.num_exits == 1
    }
    st.plotly_chart(
        plotly.every_method(
            [
                (card.title, [cost * card.plain_macs for cost in one.cost], one.accuracy)
                for card, one in zip(rivals, found, strict=True)
            ],
            list(plain.values()),
            sizes,
        ),
        key="every-method-chart",
        config=plotly.CONFIG,
        alt=f"Accuracy against compute of {', '.join(card.title for card in rivals)}",
    )
    st.html(_table(found))


def _table(found: Sequence[Entry]) -> str:
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
        return f'<span title="out of reach">{text.MISSING}</span>'
    return (
        f"<b>{text.percent(figures.accuracy)}</b><br>"
        f"<small>at {text.percent(figures.relative_cost)}</small>"
    )
