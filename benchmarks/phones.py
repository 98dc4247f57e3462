"""Pictures as phones write them, dropped on the Playground in a real browser.

    python -m benchmarks.phones

Starts the app, brings ten pictures one after another, and prints of each the milliseconds from the
drop until every exit has answered, and from then until the saliency maps of every exit are drawn.
Then brings them without a browser, which here takes a part of the same processor: milliseconds from
the upload's beginning until the message with the answers has come.
They show shipped samples, enlarged; sizes, formats, rotations and tags are a phone's.
"""

import asyncio
import io
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image
from pillow_heif import register_heif_opener
from playwright.sync_api import FilePayload, Page, sync_playwright
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection

from benchmarks.visitor import Act, Visitor, connected, elements
from core.data.samples import load_samples
from core.hub.registry import card_of
from tests.chromium import FLAGS, find, install
from tests.running_app import running_app

ORIENTATION, MAKE = 0x0112, 0x010F
PATIENCE = 120_000  # milliseconds
REST = 4.0  # seconds, in which a first page's times are measured
WATCH = """name => {
  const times = window.phone = {};
  const dropped = () => { times.drop = performance.now(); };
  addEventListener('change', dropped, { capture: true, once: true });
  new MutationObserver((changes, observer) => {
    const caption = document.querySelector('.ee-input figcaption');
    const drawn = changes.some(({ target }) => target.classList?.contains('ee-before'));
    const there = drawn && caption?.textContent.includes(name);
    if (there) times.answer ??= performance.now();
    const state = document.querySelector('[data-testid=stApp]')?.dataset.testScriptState;
    if (times.answer && state === 'notRunning') {
      times.maps = performance.now();
      observer.disconnect();
    }
  }).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


def pictures() -> Iterator[tuple[str, bytes]]:
    """Yield ten names and files."""
    transform = card_of("lite0-photos").evaluation_transform
    samples = load_samples("photos", transform=transform).images

    def picture(number: int, width: int, height: int) -> Image.Image:
        return Image.fromarray(samples[number]).resize((width, height), Image.Resampling.BICUBIC)

    def turned(picture: Image.Image, orientation: int) -> Callable[[io.BytesIO], None]:
        tags = Image.Exif()
        tags[ORIENTATION], tags[MAKE] = orientation, "Phone"
        back = {3: 180, 6: 90, 8: 270}.get(orientation, 0)
        stored = picture.rotate(back, expand=True)
        return lambda content: stored.save(content, "JPEG", quality=90, exif=tags)

    def saved(picture: Image.Image, kind: str, **options: object) -> Callable[[io.BytesIO], None]:
        return lambda content: picture.save(content, kind, **options)

    twelve = (4032, 3024)
    files = {
        "upright.jpg": turned(picture(0, *twelve[::-1]), 6),
        "on-its-head.jpg": turned(picture(8, *twelve), 3),
        "other-side.jpg": turned(picture(16, *twelve[::-1]), 8),
        "48-megapixels.jpg": turned(picture(24, 8064, 6048), 1),
        "progressive.jpg": saved(picture(32, *twelve), "JPEG", quality=90, progressive=True),
        "screenshot.png": saved(picture(40, 1170, 2532), "PNG", compress_level=1),
        "panorama.jpg": saved(picture(48, 12000, 3000), "JPEG", quality=85),
        "messenger.webp": saved(picture(56, 2048, 1536), "WEBP", quality=80),
        "small.avif": saved(picture(60, 2048, 1536), "AVIF", speed=10),
        "apple.heic": saved(picture(64, *twelve), "HEIF"),
    }
    for name, write in files.items():
        content = io.BytesIO()
        write(content)
        yield name, content.getvalue()


def times_of(page: Page, address: str, name: str, content: bytes) -> tuple[float, float]:
    """Bring a picture to a new page; return milliseconds to the answers, and then to the maps."""
    page.goto(address)
    page.locator(".ee-tops").wait_for(timeout=PATIENCE)
    page.get_by_role("button", name="Upload", exact=True).first.click()
    field = page.get_by_test_id("stFileUploaderDropzoneInput")
    field.wait_for(state="attached", timeout=PATIENCE)
    page.wait_for_timeout(1000)  # the first picture's maps and times
    page.evaluate(WATCH, name)
    field.set_input_files([FilePayload(name=name, mimeType="image/*", buffer=content)])
    page.wait_for_function("phone.maps", timeout=PATIENCE)
    drop, answer, maps = page.evaluate("[phone.drop, phone.answer, phone.maps]")
    return answer - drop, maps - answer


class Uploader(Visitor):
    """Somebody without a browser who brings one picture."""

    def __init__(self, socket: ClientConnection, address: str, content: bytes) -> None:
        super().__init__(socket, address, 0, random.Random(0))
        self._content, self._query = content, ""  # the network that the app opens with
        self.answered = math.nan

    def picture_file(self) -> bytes:
        return self._content

    async def _receive(self) -> ForwardMsg:
        message = await super()._receive()
        if any('"answers"' in (one.json or "") for one in elements([message], "bidi_component")):
            self.answered = time.perf_counter()
        return message


async def without_browser(address: str, content: bytes) -> float:
    """Return the milliseconds until a picture's answers have come."""
    async with connected(address) as socket:
        visitor = Uploader(socket, address, content)
        await visitor.perform(Act("open", ""))
        await asyncio.sleep(REST)
        start = time.perf_counter()
        await visitor.perform(Act("upload", ""))
        return 1000 * (visitor.answered - start)


def main() -> None:
    """Measure and print."""
    register_heif_opener()
    brought, found = list(pictures()), []
    with running_app() as address:
        with sync_playwright() as playwright:
            path = str(find() or install())
            browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            for name, content in brought:
                found.append(times_of(page, address, name, content))
                answer, maps = found[-1]
                size = f"{name}, {len(content) / 1e6:.1f} MB"
                print(f"{size:<34}{answer:8.0f} ms to the answers{maps:8.0f} ms more to the maps")
            browser.close()
        answer, maps = (statistics.median(times) for times in np.transpose(found))
        print(f"{'median':<34}{answer:8.0f} ms to the answers{maps:8.0f} ms more to the maps")
        alone = [asyncio.run(without_browser(address, content)) for _, content in brought]
        print(f"{'median without a browser':<34}{statistics.median(alone):8.0f} ms to the answers")


if __name__ == "__main__":
    main()
