"""What saves a chart as the page draws it, or the numbers behind it: made in the browser."""

from app.components.mount import component

_show = component("save_chart", uses=("drawing",))


def save_chart(
    chart: str, caption: str, name: str, csv: str | None = None, label: str = "Save"
) -> None:
    """Offer to save a chart as SVG and PNG, with its caption and the page's link, and as CSV.

    Args:
        chart: selector of it in the page; a figure of Plotly's, or anything made of HTML and SVG.
        caption: what it shows.
        name: of the files, without an ending; unique on the page.
        csv: its numbers; None for a figure of Plotly's, which knows its own, and "" for pictures.
        label: of the button.
    """
    data = {
        "chart": chart,
        "caption": caption,
        "name": name,
        "csv": csv,
        "label": label,
        "help": "Save this chart as a picture, or its numbers as a table.",
    }
    _show(f"save-{name}", data)
