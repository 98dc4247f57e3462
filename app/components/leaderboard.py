"""All methods on one data set: one chart and one table, on the Compare page."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from app import resources, text
from app.charts import accuracy_cost, plotly
from app.components.html import Cell, Column, Row, hint, section, table
from core.exits.criteria import CRITERIA
from core.hub.leaderboard import BUDGETS, Entry, Figures
from core.hub.methods import title_of
from core.hub.sizes import size_curve

_SHOWN = "leaderboard"


def leaderboard(dataset: str, names: Sequence[str]) -> None:
    """Offer the comparison of all early-exit models of a data set, and show it on demand.

    Args:
        dataset: its name.
        names: all models there are.
    """
    cards = [
        card
        for card in resources.cards_of(names).values()
        if card.dataset == dataset
        and {"calibration", "test"} <= card.per_exit_accuracy.keys()
        and not card.weights_of
    ]
    rivals = [card for card in cards if card.num_exits > 1]
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
    entries = [resources.leaderboard_entry(card.name) for card in rivals]
    plain = {  # the best of each backbone comes last, and stays
        card.spec.backbone: accuracy_cost.Spot(
            card.spec.backbone, card.plain_macs, card.per_exit_accuracy["test"][-1]
        )
        for card in sorted(cards, key=lambda card: card.per_exit_accuracy["test"][-1])
        if card.num_exits == 1
    }
    plotly.show(
        accuracy_cost.every_method(
            [
                (card.title, [cost * card.plain_macs for cost in entry.cost], entry.accuracy)
                for card, entry in zip(rivals, entries, strict=True)
            ],
            list(plain.values()),
            sizes,
        ),
        "leaderboard",
        f"Accuracy against compute of {', '.join(card.title for card in rivals)}",
    )
    st.html(_table(entries))


def _table(entries: Sequence[Entry]) -> str:
    columns = [
        Column("Method"),
        Column("Decides by", "The method's own score"),
        *(
            Column(
                f"at most {budget:.0%}",
                "Accuracy on test, and the cost on test, of the most accurate thresholds that "
                "spend at most so much on calibration",
            )
            for budget in BUDGETS
        ),
        Column(
            "Tells right from wrong (AUROC)",
            "How well its score tells right answers from wrong ones, exit by exit: the area under "
            "the ROC curve (AUROC), 1 for always, ½ for a coin toss",
        ),
    ]
    rows = [
        Row(
            [
                Cell(f"{escape(title_of(entry.method))}<br><small>{escape(entry.name)}</small>"),
                CRITERIA[entry.criterion].title,
                *(_figures(entry.within_budget[budget]) for budget in BUDGETS),
                " · ".join(f"{value:.3f}" for value in entry.auroc[:-1]),
            ]
        )
        for entry in entries
    ]
    return table(columns, rows, "ee-methods")


def _figures(figures: Figures | None) -> Cell:
    if figures is None:
        return Cell(text.MISSING, hint("out of reach"))
    return Cell(
        f"<b>{text.percent(figures.accuracy)}</b><br>"
        f"<small>at {text.percent(figures.relative_cost)}</small>"
    )
