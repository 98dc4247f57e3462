"""Commands of hierarchical training: one network, an edge worker and a cloud worker."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli.options import DataRoot, Device, Json, Threads, ended_by, use_threads
from core.cli.text import note, percents, table_text, to_json
from core.edge_cloud.plan import (
    Plan,
    Stretch,
    batches_in,
    best,
    parse_rate,
    plans,
    rate_text,
    stretches,
)
from core.edge_cloud.traffic import check_bits
from core.foundation.errors import UserError, nearest
from core.foundation.files import check_writable

if TYPE_CHECKING:
    from core.edge_cloud.link import Role, Wire
    from core.edge_cloud.traffic import EpochTraffic
    from core.networks.spec import NetworkSpec
    from core.training.recipe import Recipe

FILE = "file:"
"""Prefix of an --address that is a file on this machine instead of HOST:PORT."""

app = typer.Typer(
    help="Train one network in two places: an edge worker with the images and the first stages, "
    "a cloud worker with the rest.",
    rich_markup_mode=None,
)

Split = Annotated[
    str | None,
    typer.Option("--split", metavar="EXIT", help="The edge's last exit; by default the recipe's."),
]
Bits = Annotated[int | None, typer.Option(metavar="B", help="Per feature sent: 32, 16 or 8.")]


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A shipped recipe, a TOML file or a card.json.")
    ],
    split: Split = None,
    bits: Bits = None,
    rate: Annotated[
        str | None,
        typer.Option(metavar="R", help="Slow the link down to so many bits per second, like 10M."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier run.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="By default runs/<recipe's name>.")
    ] = None,
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="Be one worker only: edge or cloud.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Of the cloud worker, on both sides, with --role."),
    ] = None,
    patience: Annotated[
        float,
        typer.Option(min=1, metavar="S", help="Seconds to wait for the other worker, at most."),
    ] = 300.0,
    data: DataRoot = None,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> str | None:
    """Train a recipe hierarchically; the finished model is in DIR/model, on the edge's side.

    Both workers run on this machine, or each on its own with --role and --address. Features and
    labels travel unencrypted: use a network that you trust. With several network interfaces,
    GLOO_SOCKET_IFNAME says which to use.
    """
    plan = _chosen_recipe(recipe, split, bits, rate)
    worker = _checked_role(role, address)
    from core.hub.registry import card_of
    from core.training.device import checked_device

    if plan.plain is not None and worker != "cloud":
        card_of(plan.plain)  # fail now rather than after the training
    checked_device(device)
    if worker is None and threads is None:
        threads = max((os.cpu_count() or 2) // 2, 1)  # two processes share the machine
    use_threads(threads)
    folder = out or Path("runs") / plan.name
    check_writable(folder, folder=True)
    if resume and not any(folder.glob("*/*.safetensors")):
        note(f"There is no checkpoint in {folder} yet: starting from the beginning.")
    try:
        if worker == "cloud":
            from core.edge_cloud.run import run_cloud

            meeting = _meeting("cloud", str(address), plan, patience)
            run_cloud(plan, folder / "cloud", meeting, resume=resume, device=device)
            return None
        if worker == "edge":
            meeting = _meeting("edge", str(address), plan, patience)
        else:
            options = ["--out", str(folder), "--device", device, "--patience", f"{patience:g}"]
            options += ["--threads", str(threads), *["--resume"] * resume]
            meeting = _with_cloud_worker(
                plan, [recipe, *_options(plan), *options], folder, patience
            )
        return _train_edge(plan, folder, meeting, data, resume, device, as_json)
    except KeyboardInterrupt as error:
        kept = f"{folder} keeps every finished epoch: add --resume to go on"
        note(f"Stopped. {kept}." if any(folder.glob("*/*.safetensors")) else "Stopped.")
        raise typer.Exit(ended_by(error)) from None


def _train_edge(
    plan: "Recipe",
    folder: Path,
    meeting: "AbstractContextManager[Wire]",
    data: Path | None,
    resume: bool,
    device: str,
    as_json: bool,
) -> str:
    from core.hub.train_model import train_edge_model
    from core.training.progress import epoch_bar

    with epoch_bar(plan.name, plan.epochs) as show:
        card = train_edge_model(
            plan,
            folder,
            meeting,
            data=data,
            resume=resume,
            device=device,
            command=_command(plan),
            on_epoch=lambda report, traffic: show(report, _spent(traffic)),
            on_note=note,
        )
    accuracies = card.per_exit_accuracy["test"]
    assert card.training is not None
    assert card.training.edge_cloud is not None
    if as_json:
        means = card.training.edge_cloud.model_dump()
        return to_json(
            {"model": str(folder / "model"), "per_exit_accuracy": accuracies, "per_epoch": means}
        )
    return f"{folder / 'model'}: accuracy at each exit on test {percents(accuracies)}"


def _spent(traffic: "EpochTraffic") -> str:
    return (
        f"sent {traffic.batch_bytes / 1e6:,.1f} MB  "
        f"edge {traffic.edge_seconds:.1f} s (+{traffic.edge_waited:.1f} s held up)  "
        f"link {traffic.link_seconds:.1f} s  "
        f"cloud {traffic.cloud_seconds:.1f} s (+{traffic.cloud_waited:.1f} s idle)"
    )


def _command(plan: "Recipe") -> str:
    """Return the command that trains the model again, with the chosen options."""
    return shlex.join(["python", "-m", "core", "edge-cloud", "train", plan.name, *_options(plan)])


def _options(plan: "Recipe") -> list[str]:
    chosen = plan.edge_cloud
    assert chosen is not None
    rate = [] if chosen.rate is None else ["--rate", f"{chosen.rate:.15g}"]
    return ["--split", chosen.split, "--bits", str(chosen.bits), *rate]


def _chosen_recipe(recipe: str, split: str | None, bits: int | None, rate: str | None) -> "Recipe":
    """Return the recipe with the given split, bits and rate, checked."""
    if bits is not None:
        check_bits(bits)
    speed = None if rate is None else parse_rate(rate)
    from core.edge_cloud.halves import hollow_network
    from core.training.recipe import EdgeCloud, load_recipe

    plan = load_recipe(recipe)
    given = {"split": split, "bits": bits, "rate": speed}
    chosen = {name: value for name, value in given.items() if value is not None}
    if plan.edge_cloud is not None:
        chosen = plan.edge_cloud.model_dump() | chosen
    if "split" in chosen:
        plan = plan.model_copy(update={"edge_cloud": EdgeCloud.model_validate(chosen)})
    hollow_network(plan)  # raises unless the network can be split there
    return plan


def _checked_role(role: str | None, address: str | None) -> "Role | None":
    if role is None:
        if address is not None:
            raise UserError(
                "expected --role with --address, but got the address alone: say whether this is "
                "the edge or the cloud worker."
            )
        return None
    if role not in ("edge", "cloud"):
        raise UserError(
            f"expected --role to be edge or cloud, but got {role!r}."
            f"{nearest(role, ('edge', 'cloud'))}"
        )
    if address is None:
        raise UserError(
            f"expected --address with --role {role}, but got none: give HOST:PORT of the cloud "
            "worker, the same on both sides."
        )
    return "edge" if role == "edge" else "cloud"


def _meeting(
    role: "Role", address: str, plan: "Recipe", patience: float
) -> "AbstractContextManager[Wire]":
    from core.edge_cloud.link import gloo
    from core.edge_cloud.run import answer_seconds

    where = Path(address.removeprefix(FILE)) if address.startswith(FILE) else address
    return gloo(role, where, patience, answer_seconds(plan, patience))


@contextmanager
def _with_cloud_worker(
    plan: "Recipe", arguments: list[str], folder: Path, patience: float
) -> "Iterator[Wire]":
    """Start a cloud worker on this machine, and yield the wire to it."""
    from core.edge_cloud.link import PeerLostError, gloo
    from core.edge_cloud.run import answer_seconds

    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "cloud.log"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch, log.open("wb") as file:
        meet = Path(scratch) / "meeting"
        command = [sys.executable, "-m", "core", "edge-cloud", "train", *arguments]
        command += ["--role", "cloud", "--address", f"{FILE}{meet}"]
        worker = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL)

        def check_running() -> None:
            if worker.poll() is not None:
                lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                reason = lines[-1].removeprefix("error: ") if lines else "no message"
                raise UserError(f"the cloud worker could not start: {reason}")

        try:
            seconds = answer_seconds(plan, patience)
            with gloo("edge", meet, patience, seconds, check_running) as wire:
                yield wire
            with suppress(subprocess.TimeoutExpired):
                worker.wait(patience)
        except PeerLostError as lost:
            raise UserError(f"{lost} ({log} may have the reason.)") from None
        finally:
            worker.terminate()
            worker.wait()


@app.command("plan")
def predict(
    source: Annotated[
        str, typer.Argument(metavar="MODEL|RECIPE", help="Whose network to plan for.")
    ],
    bits: Bits = None,
    rate: Annotated[
        str, typer.Option(metavar="R,R", help="Link rates to compare, in bits per second.")
    ] = "1M,10M,100M,1G",
    cloud_speed: Annotated[
        float, typer.Option(metavar="X", help="The cloud is so many times as fast as this machine.")
    ] = 1.0,
    images: Annotated[int, typer.Option(min=1, metavar="N", help="Images per epoch.")] = 50_000,
    batch_size: Annotated[int, typer.Option(min=2, metavar="B", help="Images per batch.")] = 128,
    threads: Threads = None,
    as_json: Json = False,
) -> str:
    """Predict the seconds per epoch of each way to share a training, and name the best per rate.

    Measures here how long each part of the network takes to learn; the link is calculated.
    """
    rates = [parse_rate(part) for part in rate.split(",")]
    chosen_bits = 32 if bits is None else bits
    check_bits(chosen_bits)
    name, spec = _network_of(source)
    from core.edge_cloud.measure import time_training
    from core.networks.build import build_hollow
    from core.networks.outline import outline

    use_threads(threads)
    network = build_hollow(spec)
    choices = plans(
        time_training(spec, batch_size),
        network.exit_names,
        [stage.shape for stage in outline(network)],
        (spec.in_channels, spec.image_size, spec.image_size),
        spec.num_classes,
        chosen_bits,
        cloud_speed,
    )
    batches = batches_in(images, batch_size)
    ranges = stretches(choices, batches)
    if as_json:
        return to_json(
            {
                "network": name,
                "bits": chosen_bits,
                "cloud_speed": cloud_speed,
                "images": batches * batch_size,
                "batch_size": batch_size,
                "plans": [_figures(plan, rates, batches) for plan in choices],
                "best": {f"{at:.15g}": best(choices, at, batches).name for at in rates},
                "stretches": [
                    {"best": part.plan.name, "from": part.slowest, "to": part.fastest}
                    for part in ranges
                ],
            }
        )
    return _plan_text(name, choices, ranges, rates, batches, chosen_bits, cloud_speed)


def _network_of(source: str) -> "tuple[str, NetworkSpec]":
    """Return the name and the network of a model or a recipe."""
    from core.hub.registry import card_of, model_folders
    from core.training.recipe import load_recipe, recipe_names

    models = model_folders()
    if source in models or (Path(source) / "card.json").is_file():
        card = card_of(source)
        return card.name, card.spec
    names = [*models, *recipe_names()]
    if Path(source).suffix not in (".toml", ".json") and source not in names:
        raise UserError(
            f"expected a model, a recipe or a file of one, but got {source!r}."
            f"{nearest(source, names)} Known: {', '.join(sorted(set(names)))}."
        )
    recipe = load_recipe(source)
    return recipe.name, recipe.network


def _figures(plan: Plan, rates: list[float], batches: int) -> dict[str, Any]:
    return {
        "name": plan.name,
        "kind": plan.kind,
        "bytes_per_epoch": plan.bytes(batches),
        "edge_seconds": plan.edge * batches,
        "cloud_seconds": plan.cloud * batches,
        "seconds_at": {f"{rate:.15g}": plan.seconds(rate, batches) for rate in rates},
    }


def _plan_text(
    name: str,
    choices: tuple[Plan, ...],
    ranges: tuple[Stretch, ...],
    rates: list[float],
    batches: int,
    bits: int,
    cloud_speed: float,
) -> str:
    rows = [("trained", "MB sent", "edge s", "cloud s", *map(rate_text, rates))]
    for plan in choices:
        times = []
        for rate in rates:
            mark = " *" if plan == best(choices, rate, batches) else ""
            times.append(f"{plan.seconds(rate, batches):,.1f} s{mark}")
        place = f"split at {plan.name}" if plan.kind == "split" else plan.name
        spent = f"{plan.edge * batches:,.1f}", f"{plan.cloud * batches:,.1f}"
        rows.append((place, f"{plan.bytes(batches) / 1e6:,.1f}", *spent, *times))
    best_rows = [("link", "quickest")]
    for index, part in enumerate(ranges):
        start = "" if index == 0 else f"from {rate_text(part.slowest)}"
        end = "" if index == len(ranges) - 1 else f"up to {rate_text(part.fastest)}"
        place = f"split at {part.plan.name}" if part.plan.kind == "split" else part.plan.name
        best_rows.append((f"{start} {end}".strip() or "at any rate", place))
    size = choices[0].batch_size
    return (
        f"{name}: predicted seconds per epoch of {batches * size:,} images, {bits} bits a feature, "
        f"a cloud {cloud_speed:g} times as fast as this machine (* is the quickest)\n"
        f"{table_text(rows)}\n\n{table_text(best_rows)}\n\n"
        "Measured: how long each part takes to learn from a batch here. Calculated: the rest."
    )
