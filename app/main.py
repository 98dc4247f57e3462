"""The explorer's pages: the script that `app/server.py` runs for each visitor."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts only this file's folder there
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from app.components.errors import sentences  # noqa: E402
from app.components.html import style  # noqa: E402
from app.components.report import report  # noqa: E402
from app.components.shortcuts import shortcuts  # noqa: E402
from app.components.surroundings import surroundings  # noqa: E402
from app.state import follow_address  # noqa: E402
from app.uploads import say_what_was_let_go  # noqa: E402
from app.views import PAGES, page  # noqa: E402
from core.foundation.places import ICONS  # noqa: E402
from core.foundation.plugins import load_plugins  # noqa: E402

st.set_page_config(
    page_title="Early-Exit Explorer", page_icon=str(ICONS / "icon.svg"), layout="wide"
)
st.logo(ICONS / "wordmark.svg", size="large")
chosen = st.navigation([page(name) for name in PAGES], position="top")
style()
surroundings()
shortcuts()
follow_address()
with sentences():
    load_plugins()
    say_what_was_let_go()
    chosen.run()
    if chosen.url_path != "present":  # which fills the screen
        report()
