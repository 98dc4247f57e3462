"""The app under Streamlit's own tester, without a browser."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from streamlit.testing.v1 import AppTest

from core.exits.policy import Policy

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"
PATIENCE = 60


def opened(query: str = "") -> AppTest:
    """The app after its first run, with the parameters of a link: it opens at the Playground."""
    return _run(AppTest.from_file(MAIN, default_timeout=PATIENCE), query)


def opened_thresholds(query: str = "") -> AppTest:
    """The Thresholds page alone."""
    return opened_page("thresholds", query)


def opened_page(name: str, query: str = "") -> AppTest:
    """One page alone: the tester cannot walk between pages that are functions."""
    app = AppTest.from_function(_page, default_timeout=PATIENCE, args=(name,))
    return _run(app, query)


def _page(name: str) -> None:
    from importlib import import_module

    from app.components.errors import sentences

    with sentences():
        import_module(f"app.views.{name}").page()


def _run(app: AppTest, query: str) -> AppTest:
    for name, value in parse_qsl(query, keep_blank_values=True):
        app.query_params[name] = value
    return app.run()


def html(app: AppTest) -> str:
    """All of our own HTML on the page."""
    plain = [str(element.proto.body) for element in app.get("html")]
    parts = [part[side] for part in _live(app) for side in ("before", "after")]
    return "\n".join(plain + parts)


def _live(app: AppTest) -> list[dict[str, Any]]:
    return [data for data in components(app) if "thresholds" in data]


def components(app: AppTest) -> list[dict[str, Any]]:
    """The data of all components of our own that get JSON."""
    messages = [element.proto for element in app.get("bidi_component") if element.proto.json]
    return [json.loads(message.json) for message in messages]


def tiles(app: AppTest, label: str = "Images of this selection") -> list[dict[str, Any]]:
    """The pictures of a contact sheet with their captions."""
    sheets = [data for data in components(app) if data.get("label") == label]
    return [tile for sheet in sheets for group in sheet["groups"] for tile in group["tiles"]]


def exit_cards(app: AppTest) -> list[dict[str, Any]]:
    """The cards that count who leaves at each exit, the one for all exits first."""
    (data,) = [data for data in components(app) if "cards" in data]
    return list(data["cards"])


def policy(app: AppTest) -> Policy:
    """Where thresholds and switches stand."""
    (data,) = _live(app)
    criterion = link(app)["criterion"]
    return Policy(criterion, data["thresholds"], data["enabled"])


def maps(app: AppTest) -> dict[str, Any]:
    """The data of the saliency maps."""
    return next(data for data in components(app) if "maps" in data)


def errors(app: AppTest) -> list[str]:
    """What is shown as an error, tracebacks included."""
    return [error.value for error in app.error] + [str(one.value) for one in app.exception]


def reading(app: AppTest, title: str) -> str:
    """The value of a large number, by its title."""
    return html(app).split(f"<dt>{title}</dt>", 1)[1].split("<dd>", 1)[1].split("</dd>", 1)[0]


def button(app: AppTest, label: str) -> Any:
    """The first button whose label begins so."""
    return next(one for one in app.button if one.label.startswith(label))


def receipt(app: AppTest) -> dict[str, str]:
    """What the receipt says, by its names; empty without one."""
    shown = html(app).split('class="ee-receipt"')[1:]
    return {
        unescape(name): unescape(value)
        for part in shown
        for name, value in re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", part)
    }


def percent(fraction: float, digits: int) -> str:
    """A fraction as the app writes it."""
    return f"{100 * fraction:.{digits}f}\N{NO-BREAK SPACE}%"


def leaves_at(app: AppTest) -> int:
    """The exit that is lit on the ladder."""
    return int(re.findall(r'data-exit="(\d+)" data-state="left"', html(app))[0])


def link(app: AppTest) -> dict[str, Any]:
    """The parameters of the address, each as one text."""
    return {
        name: value[0] if isinstance(value, list) else value
        for name, value in app.query_params.items()
    }
