"""A button that copies a link to this page, by the address that the browser sees."""

from collections.abc import Mapping
from urllib.parse import urlencode

from app.components.mount import component

_show = component("copy_link")


def copy_link(query: Mapping[str, str], help: str) -> None:
    """Show the button.

    Args:
        query: the link's parameters.
        help: what the link opens.
    """
    data = {
        "query": urlencode(query, safe=","),
        "label": "Copy the link",
        "copied": "Copied",
        "by_hand": "Copy this link:",
        "help": help,
    }
    _show("copy-link", data)
