"""Several visitors at once, as `python -m benchmarks.load` has them, in a small form."""

import asyncio
import json
import random
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.server import ServerConnection, serve

from benchmarks import visitor
from benchmarks.visitor import NEEDED, SHARES, Act, Chosen, Visit, card, faults, session
from tests.running_app import running_app

Result = TypeVar("Result")
PLANS = [
    [Act("open", ""), Act("upload", ""), Act("sample", "")],
    [Act("open", ""), Act("upload", ""), Act("model", "")],
    [Act("open", ""), Act("sample", ""), Act("saliency", "")],
    [Act("open", "samples"), Act("model", "samples"), Act("page", "learn")],
    [Act("open", "thresholds"), Act("threshold", "thresholds"), Act("page", "")],
    [Act("open", "compare"), Act("page", ""), Act("corruption", "")],
]
SMALL = ("eenet8-mnist", "branchy8-mnist", "exclusion8-mnist", "pteenet8-mnist")
CHOSEN = Chosen(7, "", card("eenet8-mnist"), (0.9, 0.8), sample=40)
UPLOADED = replace(CHOSEN, upload="visitor-7-upload-1.png")


def finished(work: Coroutine[Any, Any, Result]) -> Result:
    """What comes of it, in a thread: a browser's tests leave a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def test_visitors_see_what_they_chose_and_no_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitor, "MODELS", SMALL)

    async def together(address: str) -> list[list[Visit]]:
        came = (session(address, number, acts, 0) for number, acts in enumerate(PLANS))
        return await asyncio.gather(*came)

    with running_app() as address:
        visits = [visit for one in finished(together(address)) for visit in one]
    assert [(one.kind, one.page) for one in visits] == [
        (act.kind, act.page) for acts in PLANS for act in acts
    ]
    assert {one.kind for one in visits} == {"open", *SHARES}
    assert [one for one in visits if one.faults or one.lost] == []


def delta(kind: str, **fields: object) -> ForwardMsg:
    message = ForwardMsg()
    element = getattr(message.delta.new_element, kind)
    element.SetInParent()
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(element, name).extend(value)
        else:
            setattr(element, name, value)
    return message


def playground(chosen: Chosen) -> Iterator[ForwardMsg]:
    picture = '<img src="data:image/png;base64,AAAA"'
    name = chosen.upload or f"Sample {chosen.sample + 1:,} of 5,000"
    yield delta("html", body="<header><h1>Playground</h1></header>")
    yield delta("selectbox", label="Model", raw_value=chosen.card.title)
    yield delta("bidi_component", id="x", json=json.dumps({"thresholds": chosen.thresholds}))
    yield delta("html", body=f'<figure class="ee-input">{picture}>{name}</figure>')
    yield delta("button_group", label="Corruption", raw_values=[chosen.corruption])
    maps = {"image": "data:image/png;base64,AAAA", "maps": [{"map": "data:image/png;base64,BBBB"}]}
    yield delta("bidi_component", id="y", json=json.dumps(maps))


@pytest.mark.parametrize("chosen", [CHOSEN, UPLOADED])
def test_a_page_of_ones_own_is_fine(chosen: Chosen) -> None:
    assert faults(list(playground(chosen)), chosen) == ()


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        (replace(CHOSEN, card=card("eenet20-mnist")), "model: "),
        (replace(CHOSEN, thresholds=(0.9, 0.81)), "thresholds: "),
        (replace(CHOSEN, sample=41), "picture: "),
        (replace(CHOSEN, corruption="Noise"), "corruption: "),
        (UPLOADED, "picture: "),
        (replace(CHOSEN, upload="visitor-8-upload-1.png"), "shows an upload of visitor 8"),
    ],
)
def test_a_page_of_another_visitor_is_wrong(other: Chosen, fault: str) -> None:
    assert faults(list(playground(other)), CHOSEN)[0].startswith(fault)


def test_the_upload_of_another_visitor_is_wrong_in_the_place_of_ones_own() -> None:
    other = replace(UPLOADED, upload="visitor-8-upload-1.png")
    assert len(faults(list(playground(other)), UPLOADED)) == 2


@pytest.mark.parametrize(
    "message",
    [
        delta("exception", message="KeyError"),
        delta("alert", body="Something went wrong", format=Alert.ERROR),
        ForwardMsg(script_finished=ForwardMsg.FINISHED_WITH_COMPILE_ERROR),
        delta("markdown", body="visitor-12-upload-3.png"),
    ],
)
def test_an_error_or_a_foreign_name_anywhere_on_the_page_is_wrong(message: ForwardMsg) -> None:
    assert len(faults([*playground(CHOSEN), message], CHOSEN)) == 1


@pytest.mark.parametrize("missing", range(6))
def test_a_page_that_lacks_a_part_is_wrong(missing: int) -> None:
    messages = list(playground(CHOSEN))
    del messages[missing]
    assert faults(messages, CHOSEN) != ()


def test_saliency_maps_that_stay_as_they_were_are_wrong() -> None:
    messages = list(playground(CHOSEN))
    chosen = replace(CHOSEN, earlier_maps=visitor.saliency_maps(messages)["maps"])
    assert faults(messages, chosen) == ("saliency maps: those of the method before",)


@pytest.mark.parametrize("answers", ["none", "end of a run that never began", "closed connection"])
def test_a_visit_without_an_answer_is_lost(answers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitor, "PATIENCE", 0.3)

    async def answer(socket: ServerConnection) -> None:
        async for _ in socket:
            if answers == "closed connection":
                return
            if answers != "none":
                finished = ForwardMsg(script_finished=ForwardMsg.FINISHED_SUCCESSFULLY)
                await socket.send(finished.SerializeToString())

    async def visits() -> list[Visit]:
        async with serve(answer, "127.0.0.1", 0, subprotocols=["streamlit"]) as server:
            port = server.sockets[0].getsockname()[1]
            acts = [Act("open", ""), Act("sample", "")]
            return await session(f"http://127.0.0.1:{port}", 1, acts, 0)

    came = finished(visits())
    assert [(one.kind, one.lost) for one in came] == [("open", True), ("sample", True)]


def test_acts_happen_on_pages_where_they_are_possible() -> None:
    assert set(NEEDED) < set(SHARES)
    acts = visitor.plan(random.Random(0), 2000)
    assert len(acts) == 2000
    assert all(NEEDED.get(act.kind, act.page) == act.page for act in acts)
    for before, act in pairwise(acts):
        assert (act.page != before.page) == (act.kind == "page")
