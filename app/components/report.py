"""What saves a page as a report: made in the browser, of what the page shows."""

from app.components.mount import component

_show = component("report", uses=("drawing",), style="save_chart")


def report() -> None:
    """Offer to save the page as one HTML file that needs nothing else."""
    data = {
        "label": "Save this page as a report",
        "help": "One HTML file with what is chosen, the figures, charts and tables, and the link.",
        "name": "early-exit-report",
    }
    _show("report", data)
