"""The explorer. Start it with `streamlit run app/main.py` or `make app`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts only this file's folder there
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from app.components.errors import sentences  # noqa: E402
from app.components.shortcuts import shortcuts  # noqa: E402
from app.components.style import style  # noqa: E402
from app.views import (  # noqa: E402
    compare,
    edge_cloud,
    learn,
    model,
    playground,
    samples,
    thresholds,
    train,
)
from core.foundation.places import ICONS  # noqa: E402
from core.foundation.plugins import load_plugins  # noqa: E402

st.set_page_config(
    page_title="Early-Exit Explorer", page_icon=str(ICONS / "icon.svg"), layout="wide"
)
st.logo(ICONS / "wordmark.svg", size="large")
page = st.navigation(
    [
        st.Page(playground.page, title="Playground", icon=":material/science:", default=True),
        st.Page(thresholds.page, title="Thresholds", icon=":material/tune:", url_path="thresholds"),
        st.Page(samples.page, title="Samples", icon=":material/grid_view:", url_path="samples"),
        st.Page(compare.page, title="Compare", icon=":material/compare:", url_path="compare"),
        st.Page(train.page, title="Train", icon=":material/model_training:", url_path="train"),
        st.Page(
            edge_cloud.page, title="Edge and cloud", icon=":material/cloud:", url_path="edge-cloud"
        ),
        st.Page(learn.page, title="Learn", icon=":material/school:", url_path="learn"),
        st.Page(model.page, title="Model", icon=":material/schema:", url_path="model"),
    ],
    position="top",
)
style()
shortcuts()
with sentences():
    load_plugins()
    page.run()
