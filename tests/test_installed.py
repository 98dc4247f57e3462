"""What `pip install .` puts on a machine works without the repository."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.running_app import APP, running_app

ROOT = Path(__file__).resolve().parents[1]
MODEL = "eenet8-mnist"  # of the shipped models one is enough: all take half a minute


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("core", "app", "assets", ".streamlit"):
        shutil.copytree(ROOT / name, source / name, ignore=unwanted)
    shutil.copytree(ROOT / "pretrained" / MODEL, source / "pretrained" / MODEL)
    for name in ("pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "-w", str(folder), str(source)], check=True, timeout=120)
    shutil.rmtree(source)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, tmp_path: Path, *arguments: str, seconds: float = 120) -> str:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_of_ours_is_in_the_wheel(installed: Path) -> None:
    for package in ("core", "app"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                assert (installed / path.relative_to(ROOT)).is_file(), path
    inside = installed / "core"
    assert {path.name for path in (inside / "pretrained" / MODEL).iterdir()} == {
        "card.json",
        "drift.npz",
        "fronts.npz",
        "table.npz",
        "weights.safetensors",
    }
    assert (inside / "py.typed").is_file()
    assert (inside / "assets" / "icons" / "icon.svg").is_file()
    assert len(list((inside / "assets" / "samples").rglob("*.png"))) == 20
    with (inside / "streamlit" / "config.toml").open("rb") as settings:
        assert tomllib.load(settings)["theme"]


def test_its_metadata_names_the_command_the_extras_and_what_it_needs(installed: Path) -> None:
    (facts,) = installed.glob("*.dist-info")
    assert "early-exit = core.__main__:run" in (facts / "entry_points.txt").read_text()
    metadata = (facts / "METADATA").read_text()
    assert "Requires-Dist: torch>=" in metadata
    assert 'Requires-Dist: timm>=1.0.20; extra == "timm"' in metadata


def test_commands_run_from_anywhere(installed: Path, tmp_path: Path) -> None:
    assert f"\n{MODEL} " in run(installed, tmp_path, "-m", "core", "models")
    picture = next((installed / "core" / "assets" / "samples" / "cifar10").glob("*.png"))
    assert " of 3 (" in run(installed, tmp_path, "-m", "core", "predict", MODEL, str(picture))


def test_the_explorer_starts_from_anywhere(installed: Path, tmp_path: Path) -> None:
    with (
        running_app(APP, tmp_path, PYTHONPATH=str(installed)) as address,
        urllib.request.urlopen(f"{address}/_stcore/health", timeout=30) as answer,
    ):
        assert answer.read() == b"ok"


def test_the_walk_in_the_docs_runs_from_top_to_bottom(installed: Path, tmp_path: Path) -> None:
    """Blocks that begin with a file's name become it; the others are one Python session."""
    walk = (ROOT / "docs" / "adding-a-method.md").read_text(encoding="utf-8")
    session = ["import subprocess", "import sys"]
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", walk, re.DOTALL | re.MULTILINE):
        file = re.match(r"# ([\w-]+\.(?:py|toml))\n", block)
        if file:
            (tmp_path / file[1]).write_text(block, encoding="utf-8")
        elif language == "python":
            session.append(block)
        else:
            lines = [line for line in block.splitlines() if not line.startswith("early-exit app")]
            command = f'early-exit() {{ {shlex.quote(sys.executable)} -m core "$@"; }}'
            shell = ["bash", "-ec", "\n".join([command, *lines])]
            session.append(f"subprocess.run({shell!r}, check=True)")
    (tmp_path / "session.py").write_text("\n".join(session), encoding="utf-8")
    run(installed, tmp_path, "session.py", seconds=280)
    assert (tmp_path / "runs" / "focal-stripes" / "model" / "card.json").is_file()
