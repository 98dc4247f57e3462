"""A server for strangers: what it leaves out, and that every limit holds for one more."""

import json
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.testing.v1 import AppTest
from websockets import Origin, Subprotocol
from websockets.sync.client import ClientConnection, connect

from app import public, resources, sample_sources, turns
from app.public import shown
from app.queue import Queue
from app.turns import Turns
from app.uploads import of_a_session, of_all
from core.foundation.errors import UserError
from core.foundation.public import is_public
from core.hub.registry import model_folder, model_folders
from tests.app.pages import errors, html, opened_page
from tests.running_app import running_app


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EENET_PUBLIC", "1")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_app(below="/explorer", EENET_PUBLIC="1") as address:
        yield address


@pytest.mark.parametrize(("value", "on"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_one_switch(value: str, on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EENET_PUBLIC", value)
    assert is_public() is on


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize(
    ("sentence", "read"),
    [
        ("expected JSON in /srv/models/mine/card.json, but", "expected JSON in card.json, but"),
        ("a table at ../runs/x/table.npz; make", "a table at table.npz; make"),
        ("'/home/me/secret/a.png' is", "'a.png' is"),
        (f"in {Path.cwd()}/data/mnist", "in mnist"),
        ("see https://arxiv.org/abs/2409.05336, p. 1/2", None),
        ("expected cat/1.png and dog/2.png", None),
    ],
)
def test_no_message_has_a_path_of_the_server(sentence: str, read: str | None) -> None:
    assert shown(sentence) == (sentence if read is None else read)


def test_elsewhere_messages_name_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EENET_PUBLIC", raising=False)
    assert shown("at /srv/models/card.json") == "at /srv/models/card.json"


@pytest.mark.usefixtures("strangers")
def test_no_folder_of_the_server_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EENET_FOLDERS", str(tmp_path))
    assert sample_sources.readable_folder() is None
    app = opened_page("samples", "model=eenet8-mnist&of=own")
    assert app.button_group(key="own-kind").options == ["A zip", "A folder"]


def downloads(app: AppTest) -> list[str]:
    return [one.label for one in app.button if "Download" in one.label]


def test_no_visitor_starts_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EENET_DATA", str(tmp_path))
    query = "model=eenet20-cifar10&of=test"
    assert downloads(opened_page("samples", query))
    monkeypatch.setenv("EENET_PUBLIC", "1")
    assert not downloads(opened_page("samples", query))


@pytest.mark.usefixtures("strangers")
def test_uploads_have_less_room() -> None:
    assert (of_a_session(), of_all()) == (64 * 2**20, 512 * 2**20)


def answer(url: str) -> tuple[int, dict[str, str]]:
    try:
        with urllib.request.urlopen(url, timeout=30) as got:
            return got.status, {name.lower(): value for name, value in got.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}


def test_below_a_path_it_answers_with_its_headers_and_without_metrics(server: str) -> None:
    for path in ("/", "/samples", "/_stcore/health"):
        status, headers = answer(server + path)
        assert status == 200
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
        assert "object-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert answer(f"{server}/_stcore/metrics")[0] == 404
    assert answer(f"{server}/_stcore/metrics/")[0] == 404


@contextmanager
def session(server: str) -> Iterator[str]:
    """A visitor's session, by its identifier."""
    with connection(server) as socket:
        socket.send(BackMsg(rerun_script=ClientState()).SerializeToString())
        message = awaited(socket, lambda message: message.HasField("new_session"))
        yield message.new_session.initialize.session_id


def connection(server: str) -> ClientConnection:
    """A visitor's browser, before it says which page it is on."""
    return connect(
        f"{server.replace('http', 'ws')}/_stcore/stream",
        origin=Origin(f"http://{urlsplit(server).netloc}"),
        subprotocols=[Subprotocol("streamlit")],
        max_size=None,
    )


def awaited(socket: ClientConnection, wanted: Callable[[ForwardMsg], bool]) -> ForwardMsg:
    """The next message that is wanted."""
    while True:
        message = ForwardMsg.FromString(bytes(socket.recv(timeout=60, decode=False)))
        if wanted(message):
            return message


def put(server: str, session: str, size: int) -> int:
    """Upload a file of a size, so far as the server reads it; return the status."""
    cookie = answer(f"{server}/_stcore/health")[1]["set-cookie"].split(";")[0]
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.zip"\r\n\r\n'
    tail = b"\r\n--x--\r\n"
    parts = urlsplit(server)
    connection = HTTPConnection(parts.netloc, timeout=60)
    connection.putrequest("PUT", f"{parts.path}/_stcore/upload_file/{session}/1")
    connection.putheader("Content-Length", str(len(head) + size + len(tail)))
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Cookie", cookie)
    connection.putheader("X-Xsrftoken", cookie.partition("=")[2])
    connection.endheaders()
    with suppress(OSError):  # refused meanwhile
        connection.send(head + bytes(size) + tail)
    return connection.getresponse().status


def test_a_file_of_64_mb_is_taken_and_a_larger_one_refused(server: str) -> None:
    with session(server) as mine:
        assert put(server, mine, 64 * 2**20) < 300  # a zip of 64 MB, as pages promise
        assert put(server, mine, 65 * 2**20) == 413
    assert put(server, "nobody", 1000) in (400, 403)


def test_other_sites_frame_the_pages_only_where_they_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EENET_FRAMES", "https://course.example.org")
    policy = dict(public.headers())[b"content-security-policy"].decode()
    assert policy.endswith("frame-ancestors 'self' https://course.example.org")


def told(fraction: float, message: str) -> None:
    heard.append(message)


heard: list[str] = []


def test_a_queue_tells_ones_place_and_refuses_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.queue.EVERY", 0.001)
    queue = Queue(places=1, waiting=1, seconds=1000)
    heard.clear()
    waits, ended = threading.Event(), threading.Event()

    def second() -> None:
        def hear(fraction: float, message: str) -> None:
            told(fraction, message)
            waits.set()

        with queue.place(hear):
            ended.set()

    with queue.place(told):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(30)
        assert heard[0] == "Number 1 in the queue …"
        with pytest.raises(UserError, match="at most 1 visitors to wait"), queue.place(told):
            pass
        assert not ended.is_set()
    thread.join()
    assert ended.is_set()


def test_nobody_waits_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.queue.EVERY", 0.001)
    queue = Queue(places=1, waiting=5, seconds=0)
    with queue.place(told):
        with pytest.raises(UserError, match="try again later"), queue.place(told):
            pass
        with pytest.raises(UserError, match="try again later"), queue.place(told):
            pass
    with queue.place(told):
        pass
    monkeypatch.setattr(turns, "LONGEST", 0.0)
    mine = Turns(1)
    with mine(), pytest.raises(UserError, match="free core"), mine():
        pass
    with mine():
        pass


def test_strangers_wait_less_for_a_training_than_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = resources.training_queue.__wrapped__
    monkeypatch.delenv("EENET_PUBLIC", raising=False)
    assert queue().waiting >= 30
    monkeypatch.setenv("EENET_PUBLIC", "1")
    assert (queue().waiting, queue().seconds) == (resources.MOST_WAITING, resources.LONGEST_WAIT)


def test_links_that_leave_a_folder_of_models_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, secret = tmp_path / "models", tmp_path / "secret"
    for folder in (models / "honest", secret):
        folder.mkdir(parents=True)
        (folder / "card.json").write_bytes(
            (model_folder("eenet8-mnist") / "card.json").read_bytes()
        )
    (models / "linked").symlink_to(secret)
    (models / "card-linked").mkdir()
    (models / "card-linked" / "card.json").symlink_to(secret / "card.json")
    (models / "inside").symlink_to(models / "honest")
    monkeypatch.setenv("EENET_MODELS", str(models))
    found = model_folders()
    assert {"linked", "card-linked"}.isdisjoint(found)
    assert {"honest", "inside"} <= found.keys()


@pytest.mark.parametrize("page", ["playground", "thresholds", "samples", "compare", "model"])
def test_names_of_exits_and_titles_are_text(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "<script>alert(1)</script>"
    folder = shutil.copytree(model_folder("eenet8-mnist"), tmp_path / "mine")
    card = json.loads((folder / "card.json").read_text())
    names = [f"{script}{index}" for index in range(2)]
    card |= {"title": script, "exit_names": [*names, "final"], "plain": None}
    card["spec"]["exits"] = names
    (folder / "card.json").write_text(json.dumps(card))
    monkeypatch.setenv("EENET_MODELS", str(tmp_path))
    app = opened_page(page, f"model={folder.name}")
    assert script not in html(app) + " ".join(one.value for one in app.markdown)
    assert page in ("model", "playground") or not errors(app)  # these build the network


def finished(message: ForwardMsg) -> bool:
    return bool(message.HasField("script_finished"))


def train(socket: ClientConnection, has_begun: Callable[[], bool]) -> None:
    """Open the page Train, press its button, and look at it until the training has begun."""
    client = ClientState(page_name="train", query_string="epochs=30")
    socket.send(BackMsg(rerun_script=client).SerializeToString())
    start = awaited(socket, lambda message: message.delta.new_element.button.label == "Start")
    awaited(socket, finished)
    pressed = ClientState(page_name="train", query_string="epochs=30")
    pressed.widget_states.widgets.add(id=start.delta.new_element.button.id, trigger_value=True)
    socket.send(BackMsg(rerun_script=pressed).SerializeToString())
    while not has_begun():
        awaited(socket, finished)
        socket.send(BackMsg(rerun_script=client).SerializeToString())


def test_a_server_that_is_stopped_amid_visits_uploads_and_trainings_leaves_nothing(
    tmp_path: Path,
) -> None:
    scratch, data = tmp_path / "scratch", tmp_path / "data"
    scratch.mkdir()
    data.mkdir()
    folders = {"TMPDIR": scratch, "EENET_DATA": data, "TORCHINDUCTOR_CACHE_DIR": tmp_path}
    with (
        ExitStack() as visitors,
        running_app(**{name: str(folder) for name, folder in folders.items()}) as address,
    ):  # waits for its end
        mine = visitors.enter_context(session(address))
        uploading = HTTPConnection(urlsplit(address).netloc, timeout=30)
        uploading.putrequest("PUT", f"/_stcore/upload_file/{mine}/1")
        uploading.putheader("Content-Length", "1000000")
        uploading.endheaders()
        uploading.send(bytes(1000))
        student = visitors.enter_context(connection(address))
        train(student, lambda: any(scratch.rglob("checkpoint.safetensors")))
    assert list(scratch.iterdir()) == []
    assert list(data.iterdir()) == []
