"""What a wheel holds beside pyproject.toml's facts: shipped models, images and settings."""

from setuptools import find_namespace_packages, setup

INSIDE = {
    "core.pretrained": "pretrained",
    "core.assets": "assets",
    "core.streamlit": ".streamlit",
}
"""Folders of the repository that are installed inside `core`, see `core.foundation.places`."""

setup(
    packages=[*find_namespace_packages(include=["core", "core.*", "app", "app.*"]), *INSIDE],
    package_dir=INSIDE,
    package_data={
        "": ["*.toml", "*.js", "*.css", "*.html", "*.md", "py.typed"],
        "core.pretrained": ["*/*"],
        "core.assets": ["icons/*", "samples/**"],
        "core.streamlit": ["*"],
    },
)
