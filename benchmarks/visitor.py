"""One visitor of the explorer without a browser: Streamlit's websocket protocol, and a strict eye.

A visit lasts from sending "run the script" to "script finished". Slow saliency maps come after
that, one by one; the visitor looks on until the last is there. A visit is lost when all this takes
longer than `PATIENCE` or the connection breaks, and wrong when the page shows an error or anything
that this visitor did not choose.
"""

import asyncio
import io
import json
import math
import random
import re
import time
import urllib.request
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin, Subprotocol

from core.hub.card import Card, load_card
from core.hub.registry import model_folder

PATIENCE = 90  # seconds without an answer: the visit is lost
HEADINGS = {
    "": "Playground",
    "thresholds": "Thresholds",
    "samples": "Samples",
    "compare": "Compare",
    "learn": "Learn",
    "model": "Model",
    "train": "Train",
    "edge-cloud": "Edge and cloud",
}
"""By the addresses of the pages."""
VISITED = tuple(page for page in HEADINGS if page not in ("train", "edge-cloud"))
"""Pages under load: all but the two that train."""
SHARES = {
    "page": 30,
    "model": 10,
    "threshold": 15,
    "sample": 20,
    "corruption": 5,
    "saliency": 12,
    "upload": 8,
}
"""What a visitor does next, in percent; the way to the page that an act needs is a page visit."""
NEEDED = {"threshold": "thresholds", "sample": "", "corruption": "", "saliency": "", "upload": ""}
"""Acts by the addresses of the pages that they need; the others are possible on any page."""
MODELS = (
    "eenet20-cifar10",
    "eenet8-mnist",
    "eenet56-cifar10",
    "pteenet20-cifar10",
    "exclusion20-cifar10",
    "eenet-airbench-large-cifar10",
    "jeidnn20-cifar10",
    "eenet20-mnist",
    "branchy20-cifar10",
    "hierarchical20-cifar10",
    "pteenet8-mnist",
    "exclusion8-mnist",
)
"""Models with early exits, of data sets whose samples ship, the popular ones first."""
POPULAR = 8
POPULARITY = 0.8  # the share of choices among the popular ones, the others are among all
UPLOAD = re.compile(rb"visitor-(\d+)-upload-\d+\.png")
LOSSES = (TimeoutError, OSError, WebSocketException, LookupError)

# ---- what is asked, and what came back


@dataclass(frozen=True)
class Act:
    """One thing that a visitor does: "open", or a kind in `SHARES`, and the page it happens on."""

    kind: str
    page: str


@dataclass(frozen=True)
class Visit:
    """What came of an act.

    Attributes:
        kind: of the act.
        page: where it happened.
        seconds: until the page was there; infinite where it was lost.
        whole: seconds until the last saliency map was there, too.
        faults: what was wrong.
    """

    kind: str
    page: str
    seconds: float
    whole: float
    faults: tuple[str, ...] = ()

    @property
    def lost(self) -> bool:
        """Whether no answer came."""
        return math.isinf(self.seconds)


@dataclass(frozen=True)
class Chosen:
    """What a visitor has chosen, and a page has to show.

    Attributes:
        visitor: number of the session, part of the names of its uploads.
        page: address of the page.
        card: of the model.
        thresholds: of the policy.
        sample: number of the sample, counted from 0.
        upload: name of the uploaded picture that stands in the sample's place, or "".
        corruption: title of the corruption.
        earlier_maps: the saliency maps before another method was chosen, or None.
    """

    visitor: int
    page: str
    card: Card
    thresholds: tuple[float, ...]
    sample: int
    upload: str = ""
    corruption: str = "None"
    earlier_maps: Sequence[Any] | None = None


def elements(messages: Iterable[ForwardMsg], kind: str) -> Iterator[Any]:
    """Return the elements of one kind in the order in which they came."""
    for message in messages:
        if message.WhichOneof("type") == "delta":
            element = message.delta.new_element
            if element.WhichOneof("type") == kind:
                yield getattr(element, kind)


def faults(messages: Sequence[ForwardMsg], chosen: Chosen) -> tuple[str, ...]:
    """Return everything that is wrong with a page, as sentences."""
    return (*errors(messages, chosen.visitor), *differences(messages, chosen))


def errors(messages: Sequence[ForwardMsg], visitor: int) -> Iterator[str]:
    """Return errors, and uploads of other visitors, among messages from the server."""
    for message in messages:
        for found in UPLOAD.findall(message.SerializeToString()):
            if int(found) != visitor:
                yield f"shows an upload of visitor {int(found)}"
        kind = message.WhichOneof("type")
        if kind == "page_not_found":
            yield "page not found"
        if kind == "session_event" and message.session_event.HasField(
            "script_compilation_exception"
        ):
            yield f"exception: {message.session_event.script_compilation_exception.message}"
        if kind == "script_finished" and message.script_finished == (
            ForwardMsg.FINISHED_WITH_COMPILE_ERROR
        ):
            yield "the script does not compile"
    for exception in elements(messages, "exception"):
        yield f"exception: {exception.message}"
    for alert in elements(messages, "alert"):
        if alert.format == Alert.ERROR:
            yield f"error: {alert.body}"


def differences(messages: Sequence[ForwardMsg], chosen: Chosen) -> Iterator[str]:
    """Return where a page differs from what its visitor chose."""

    def compared(what: str, shown: Any, expected: Any) -> Iterator[str]:
        if shown != expected:
            yield f"{what}: expected {expected!r}, but it shows {shown!r}"

    html = [element.body for element in elements(messages, "html")]
    headings = [found for body in html for found in re.findall("<h1>(.*?)</h1>", body)]
    yield from compared("heading", headings, [HEADINGS[chosen.page]])
    if chosen.page != "train":
        model = next((one for one in elements(messages, "selectbox") if one.label == "Model"), None)
        yield from compared("model", model and model.raw_value, chosen.card.title)
    if chosen.page in ("", "thresholds"):
        live = component(messages, "thresholds")
        shown = live and tuple(live[1]["thresholds"])
        yield from compared("thresholds", shown, chosen.thresholds)
    if chosen.page != "":
        return
    figure = next((body for body in html if 'class="ee-input"' in body), "")
    number = re.search(r"Sample ([\d,]+) of ([\d,]+)", figure)
    named = re.search(UPLOAD.pattern.decode(), figure)
    if chosen.upload:
        yield from compared("picture", named and named[0], chosen.upload)
    else:
        last = int(number[2].replace(",", "")) if number else 1
        expected = f"Sample {min(chosen.sample + 1, last):,} of {last:,}"
        yield from compared("picture", number and number[0], expected)
    groups = [one for one in elements(messages, "button_group") if one.label == "Corruption"]
    yield from compared(
        "corruption", [list(one.raw_values) for one in groups], [[chosen.corruption]]
    )
    maps = saliency_maps(messages)
    expected = _picture(figure) or "one that is shown"
    yield from compared("picture in the saliency maps", maps.get("image"), expected)
    if chosen.earlier_maps and chosen.earlier_maps == maps.get("maps"):
        yield "saliency maps: those of the method before"


def component(messages: Sequence[ForwardMsg], field: str) -> tuple[str, dict[str, Any]] | None:
    """Return identifier and data of the component whose data have a field, or None: the latest."""
    for one in reversed([*elements(messages, "bidi_component")]):
        data = json.loads(one.json or "{}")
        if field in data:
            return one.id, data
    return None


def saliency_maps(messages: Sequence[ForwardMsg]) -> dict[str, Any]:
    """Return the data of the saliency maps as they are now; empty where the page has none."""
    found = component(messages, "maps")
    return found[1] if found else {}


def _picture(html: str) -> str | None:
    found = re.search('<img src="(data:[^"]*)"', html)
    return found and found[1]


# ---- one visitor


def card(name: str) -> Card:
    """Return the card of a model that ships."""
    return load_card(model_folder(name) / "card.json")


def some_model(draw: random.Random) -> str:
    """Return the name of a model: most visitors look at the same few."""
    return draw.choice(MODELS[:POPULAR] if draw.random() < POPULARITY else MODELS)


def plan(draw: random.Random, visits: int) -> list[Act]:
    """Return what a visitor does, one act per visit, in the shares of `SHARES`."""
    acts = [Act("open", draw.choice(VISITED))]
    while len(acts) < visits:
        (kind,) = draw.choices(list(SHARES), list(SHARES.values()))
        page = acts[-1].page
        if kind == "page":
            page = draw.choice([one for one in VISITED if one != page])
        elif NEEDED.get(kind, page) != page:
            page = NEEDED[kind]
            acts.append(Act("page", page))
        acts.append(Act(kind, page))
    return acts[:visits]


class Visitor:
    """The browser's side of one session."""

    def __init__(
        self, socket: ClientConnection, address: str, number: int, draw: random.Random
    ) -> None:
        self._socket, self._address, self._draw = socket, address, draw
        name = some_model(draw)
        model, sample = card(name), draw.randrange(5000)
        self._chosen = Chosen(number, "", model, tuple(model.default_policy.thresholds), sample)
        self._query = f"model={name}&sample={sample + 1}"
        self._session = ""
        self._pages: dict[str, str] = {}  # hashes by address
        self._shown: list[ForwardMsg] = []
        self._started = self._finished = False
        self._kept: dict[str, ForwardMsg] = {}  # of the page before: they are not sent again
        self._watched: dict[str, float] = {}  # fragments that run again every so many seconds
        self._method = ""
        self._uploads = 0

    async def perform(self, act: Act) -> Visit:
        """Do one thing, and wait for the whole page."""
        start = time.perf_counter()
        async with asyncio.timeout(PATIENCE):
            changes = await self._change(act)
            self._started = self._finished = False
            self._kept = {one.hash: one for one in self._shown if one.metadata.cacheable}
            await self._run_script(act.page, changes)
            while not self._finished:
                await self._receive()
            seconds = time.perf_counter() - start
            while not self._finished or self._maps_come:
                await self._look(PATIENCE)
        whole = time.perf_counter() - start
        return Visit(act.kind, act.page, seconds, whole, faults(self._shown, self._chosen))

    @property
    def _maps_come(self) -> bool:
        """Whether saliency maps are on their way.

        A run of the fragment that draws them, wanted while the page itself runs, comes after it.
        """
        maps = saliency_maps(self._shown)
        return bool(maps.get("running") or (self._watched and not maps))

    async def think(self, seconds: float) -> tuple[str, ...]:
        """Look at the page, which may change by itself; return what goes wrong meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await self._look(left)
        return tuple(errors(self._shown, self._chosen.visitor))

    async def _look(self, seconds: float) -> None:
        """Wait for a message, at most so long; fragments that are due run again."""
        try:
            async with asyncio.timeout(min([seconds, *self._watched.values()])):
                await self._receive()
        except TimeoutError:
            for fragment in self._watched:
                await self._run_script(self._chosen.page, fragment=fragment)

    async def _change(self, act: Act) -> list[WidgetState]:
        draw, chosen = self._draw, replace(self._chosen, page=act.page, earlier_maps=None)
        changes: list[WidgetState] = []
        match act.kind:
            case "model":
                widget = self._widget("selectbox", "Model")
                model = card(some_model(draw))
                changes = [WidgetState(id=widget.id, string_value=model.title)]
                if model != chosen.card:
                    policy = model.default_policy
                    chosen = replace(chosen, card=model, thresholds=tuple(policy.thresholds))
            case "threshold":
                identifier, data = self._component("thresholds")
                thresholds = [round(draw.uniform(0.5, 1), 6) for _ in data["thresholds"]]
                moved = {"thresholds": thresholds, "enabled": data["enabled"]}
                changes = [_triggered(identifier, "policy", moved)]
                chosen = replace(chosen, thresholds=tuple(thresholds))
            case "sample":
                identifier, data = self._component("shown_in")
                tiles = [tile["number"] for tile in data["groups"][0]["tiles"]]
                chosen = replace(chosen, sample=draw.choice(tiles), upload="")
                changes = [_triggered(identifier, "picked", chosen.sample)]
            case "corruption":
                widget = self._widget("button_group", "Corruption")
                titles = {option.content for option in widget.options}
                title = draw.choice(sorted(titles - {chosen.corruption}))
                chosen = replace(chosen, corruption=title)
                changes = [_text(widget.id, title)]
            case "saliency":
                widget = self._widget("button_group", "Method")
                methods = [option.content for option in widget.options]
                now = self._method or methods[0]
                self._method = draw.choice([one for one in methods if one != now])
                chosen = replace(chosen, earlier_maps=saliency_maps(self._shown)["maps"])
                changes = [_text(widget.id, self._method)]
            case "upload":
                widget = self._widget("file_uploader", "Images of your own")
                self._uploads += 1
                name = f"visitor-{chosen.visitor}-upload-{self._uploads}.png"
                chosen = replace(chosen, upload=name)
                changes = [await self._upload(widget.id, name)]
        if act.page != self._chosen.page:
            self._method = ""
        self._chosen = chosen
        return changes

    def _widget(self, kind: str, label: str) -> Any:
        for one in elements(self._shown, kind):
            if one.label == label:
                return one
        raise LookupError(f"the page has no {kind} “{label}”")

    def _component(self, field: str) -> tuple[str, dict[str, Any]]:
        found = component(self._shown, field)
        if found is None:
            raise LookupError(f"the page has no component with {field}")
        return found

    def picture_file(self) -> bytes:
        """Return what it uploads: noise."""
        side, content = 96, io.BytesIO()
        noise = self._draw.randbytes(3 * side * side)
        Image.frombytes("RGB", (side, side), noise).save(content, "PNG")
        return content.getvalue()

    async def _upload(self, widget: str, name: str) -> WidgetState:
        message = BackMsg()
        message.file_urls_request.request_id = name
        message.file_urls_request.file_names.append(name)
        message.file_urls_request.session_id = self._session
        await self._socket.send(message.SerializeToString())
        while (answer := await self._receive()).WhichOneof("type") != "file_urls_response":
            pass
        (place,) = answer.file_urls_response.file_urls
        content = self.picture_file()
        await asyncio.to_thread(_put, self._address, place.upload_url, name, content)
        state = WidgetState(id=widget)
        state.file_uploader_state_value.uploaded_file_info.add(
            name=name, size=len(content), file_id=place.file_id, file_urls=place
        )
        return state

    async def _run_script(
        self, page: str, changes: Sequence[WidgetState] = (), fragment: str = ""
    ) -> None:
        message = BackMsg()
        run = message.rerun_script
        run.query_string = self._query
        if page in self._pages:
            run.page_script_hash = self._pages[page]
        else:  # until the server has told its pages
            run.page_name = page
        run.fragment_id, run.is_auto_rerun = fragment, bool(fragment)
        run.widget_states.widgets.extend(changes)
        run.cached_message_hashes.extend(self._kept)
        await self._socket.send(message.SerializeToString())

    async def _receive(self) -> ForwardMsg:
        message = ForwardMsg()
        message.ParseFromString(bytes(await self._socket.recv(decode=False)))
        fragment_run = bool(message.metadata.run.fragment_ids)
        match message.WhichOneof("type"):
            case "ref_hash":
                message = self._kept[message.ref_hash]
            case "new_session" if not fragment_run:
                self._session = message.new_session.initialize.session_id
                self._shown.clear()
                self._watched.clear()
                self._started, self._finished = True, False
            case "script_finished" if not fragment_run:
                early = message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN
                self._finished = self._started and not early
            case "auto_rerun":
                self._watched[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            case "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._watched.pop(fragment, None)
            case "navigation":
                self._pages = {
                    "" if one.is_default else one.url_pathname: one.page_script_hash
                    for one in message.navigation.app_pages
                }
            case "page_info_changed":
                self._query = message.page_info_changed.query_string
        self._shown.append(message)
        return message


def _text(widget: str, value: str) -> WidgetState:
    state = WidgetState(id=widget)
    state.string_array_value.data.append(value)
    return state


def _triggered(identifier: str, event: str, value: Any) -> WidgetState:
    return WidgetState(
        id=f"$$STREAMLIT_INTERNAL_KEY_{identifier}__events",
        json_trigger_value=json.dumps([{"event": event, "value": value}]),
    )


def _put(address: str, url: str, name: str, content: bytes) -> None:
    with urllib.request.urlopen(f"{address}/_stcore/health", timeout=PATIENCE) as answer:
        cookie = answer.headers["Set-Cookie"].split(";")[0]
    body = (
        f'--visitor\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode()
    request = urllib.request.Request(
        address + url,
        body + content + b"\r\n--visitor--\r\n",
        {
            "Content-Type": "multipart/form-data; boundary=visitor",
            "Cookie": cookie,
            "X-Xsrftoken": cookie.partition("=")[2],
        },
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=PATIENCE):
        pass


async def session(address: str, number: int, acts: Sequence[Act], think: float) -> list[Visit]:
    """Return what came of the acts of one visitor, who reloads the page where one was lost.

    Args:
        address: of the server.
        number: of the visitor, which also seeds every choice that the acts leave open.
        acts: one or more, of which the first opens a page.
        think: mean seconds between two acts.
    """
    draw = random.Random(number)
    await asyncio.sleep(draw.uniform(0, think))
    visits: list[Visit] = []
    todo = deque(acts)
    while todo:
        act = todo.popleft()
        try:
            async with connected(address) as socket:
                visitor = Visitor(socket, address, number, draw)
                if act.kind != "open":
                    await visitor.perform(Act("open", act.page))
                visits.append(await visitor.perform(act))
                while todo:
                    act = todo.popleft()
                    meanwhile = await visitor.think(draw.uniform(0.67, 1.33) * think)
                    known = dict.fromkeys((*visits[-1].faults, *meanwhile))
                    visits[-1] = replace(visits[-1], faults=tuple(known))
                    visits.append(await visitor.perform(act))
        except LOSSES as error:
            visits.append(Visit(act.kind, act.page, math.inf, math.inf, (repr(error),)))
    return visits


def connected(address: str) -> connect:
    """Return a connection to a server as a browser makes it: patient, and without pings."""
    return connect(
        f"{address.replace('http', 'ws')}/_stcore/stream",
        origin=Origin(address),
        subprotocols=[Subprotocol("streamlit")],
        max_size=None,
        open_timeout=PATIENCE,
        ping_interval=None,
    )
