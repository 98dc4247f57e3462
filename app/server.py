"""The explorer's web server: `make app`, or `python -m core app`.

What the first visitor would wait for is loaded before the address answers; what others would wait
for is computed in the background right after.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import streamlit as st
from starlette.middleware import Middleware

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts only this file's folder there
    sys.path.insert(0, str(ROOT))

from app.light import Light  # noqa: E402
from app.public import Guarded  # noqa: E402
from app.uploads import LimitedUploads  # noqa: E402
from app.warm_up import load_for_all, load_for_the_first  # noqa: E402


@asynccontextmanager
async def _lifespan(_: st.App) -> AsyncIterator[None]:
    await anyio.to_thread.run_sync(load_for_the_first)
    load_for_all()
    yield


app = st.App(
    Path(__file__).with_name("main.py"),
    lifespan=_lifespan,
    middleware=[Middleware(Light), Middleware(Guarded), Middleware(LimitedUploads)],
)
