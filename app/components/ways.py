"""Ways through the network: from class to exit to right or wrong."""

import streamlit as st

from app import text
from app.charts import plotly
from app.charts.flow import flow_chart
from app.components.html import section
from app.components.widgets import save_button
from core.analysis.flow import flow
from core.exits.routing import Routing
from core.foundation.files import csv_text
from core.hub.card import Card

MOST_CLASSES = 10


def ways(card: Card, routing: Routing) -> None:
    """Show which classes leave where, and how many of them rightly; nothing without labels."""
    found = flow(routing, MOST_CLASSES)
    if found is None:
        return
    several = len(found.labels) <= MOST_CLASSES
    which = "" if several else f" The {MOST_CLASSES // 2} earliest and the latest classes."
    st.html(
        section(
            "From class to exit to answer",
            "Bands are as wide as the number of images; blue ones are answered rightly, orange "
            f"ones wrongly. The class whose images leave earliest is on top.{which}",
        )
    )
    others = f"{len(card.classes) - MOST_CLASSES:,} others"
    names = [card.classes[label] if label >= 0 else others for label in found.labels.tolist()]
    exits = text.exit_names(card.num_exits)
    plotly.show(
        flow_chart(found, names, exits), "ways", "How many images of each class leave at each exit"
    )
    rows = [
        [name, exit_name, int(count[1]), int(count[0])]
        for name, of_class in zip(names, found.counts, strict=True)
        for exit_name, count in zip(exits, of_class, strict=True)
    ]
    content = csv_text(["class", "exit", "right", "wrong"], rows)
    save_button("Save as CSV", content, f"{card.name}-ways.csv")
