"""The command line: one function per command.

A command returns what belongs on stdout and `main` prints it, so that nothing is half-printed;
progress, notes and errors go to stderr. What needs torch is imported by the commands that use it.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
import typer
from numpy.typing import NDArray

from core.cli import edge_cloud, methods, train
from core.cli.options import (
    BROKEN_PIPE,
    INTERRUPTED,
    DataRoot,
    Device,
    Json,
    Threads,
    use_threads,
)
from core.cli.text import (
    aligned,
    answers_text,
    brief,
    described,
    evaluation_text,
    model_facts,
    models_text,
    note,
    plain_accuracy,
    to_json,
    tuned_rows,
)
from core.exits.policy import Policy
from core.exits.report import evaluate as report_of
from core.foundation.errors import UserError, nearest
from core.hub.card import Card
from core.hub.registry import card_of, list_models, shipped_table

if TYPE_CHECKING:
    from core.exits.table import ExitTable
    from core.tuning.guarantee import Controlled

T = TypeVar("T", int, float)

TRACEBACK = "EENET_TRACEBACK"
"""Environment variable; when set, a fault of ours shows where it happened."""

app = typer.Typer(
    help="Early-exit networks: look at them, run, tune, train and time them.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Data sets.", rich_markup_mode=None)
app.add_typer(data_app, name="data")
app.add_typer(edge_cloud.app, name="edge-cloud")
app.command()(methods.methods)
app.command()(train.train)
app.command()(train.seeds)

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="A shipped model's name, or a model's folder.")
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="A policy in JSON; by default the model's own."),
]
CriterionName = Annotated[
    str | None, typer.Option("--criterion", metavar="C", help="The score that thresholds compare.")
]
Thresholds = Annotated[
    str | None,
    typer.Option("--thresholds", metavar="T,T", help="One per early exit, from 0 to 1."),
]


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's; return the exit status.

    0: done. 2: a mistake of the user's, told in one line. 1: a fault of ours. 130: interrupted.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        output = typer.main.get_command(app).main(
            args=arguments or ["--help"], prog_name="python -m core", standalone_mode=False
        )
        if isinstance(output, str):
            sys.stdout.write(output + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered must have somewhere to go when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except UserError as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"expected to read and write files as asked, but got: {error}.")
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of typer's
            path = getattr(getattr(error, "ctx", None), "command_path", "python -m core")
            sentence = error.format_message()
            stop = "" if sentence.endswith((".", "?")) else "."
            return fail(f"{sentence}{stop} See `{path} --help`.")
        if os.environ.get(TRACEBACK):
            note(traceback.format_exc())
        what = f"{type(error).__name__}: {error}"
        fail(f"this is our fault, not yours ({what}): please report it, with {TRACEBACK}=1 set.")
        return 1
    return output if isinstance(output, int) else 0


@app.command()
def models(
    update: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also bring the result tables in a Markdown file up."),
    ] = None,
    as_json: Json = False,
) -> str:
    """List the models in the box."""
    from core.hub.results import update_results

    cards = [card_of(name) for name in list_models()]
    if update is not None:
        update_results(update, cards)
        note(f"The result tables in {update} are up to date.")
    if as_json:
        return to_json({"models": [model_facts(card) for card in cards]})
    return models_text(cards)


@app.command()
def predict(
    model: ModelName,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    policy: PolicyFile = None,
    criterion: CriterionName = None,
    thresholds: Thresholds = None,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> str:
    """Answer images, skipping what each does not need."""
    from core.data.images import fit, open_image
    from core.data.likeness import hint
    from core.data.samples import load_samples, sample_names

    card = card_of(model)
    examples = load_samples(card.dataset).images if card.dataset in sample_names() else None
    chosen = choose_policy(card, policy, criterion, thresholds)
    pixels, notes = [], []
    for path in images:
        opened = open_image(path)
        pixels.append(fit(opened.image, card.spec.image_size, card.spec.in_channels))
        unlike = None if examples is None else hint(pixels[-1], examples)
        notes += [f"{path}: {sentence}" for sentence in (*opened.notes, unlike) if sentence]
    for sentence in notes:
        note(sentence)

    from core.hub.model import load

    use_threads(threads)
    result = load(model, device).predict(np.stack(pixels), chosen)
    answers = [
        {
            "image": str(path),
            "answer": card.classes[label],
            "label": int(label),
            "probability": float(probabilities[label]),
            "exit_index": int(exit_index),
            "exit_name": card.exit_names[exit_index],
            "relative_cost": float(cost),
        }
        for path, label, probabilities, exit_index, cost in zip(
            images, result.labels, result.probabilities, result.exits, result.costs, strict=True
        )
    ]
    if as_json:
        return to_json({"model": card.name, "policy": chosen.to_dict(), "images": answers})
    return answers_text(answers, card)


@app.command()
def evaluate(
    model: ModelName,
    split: Annotated[str, typer.Option(metavar="SPLIT", help="test or calibration.")] = "test",
    policy: PolicyFile = None,
    criterion: CriterionName = None,
    thresholds: Thresholds = None,
    data: DataRoot = None,
    device: Device = "cpu",
    threads: Threads = None,
    batch_size: Annotated[int, typer.Option(min=1, metavar="B", help="Images per batch.")] = 256,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save what every exit said (.npz).")
    ] = None,
    as_json: Json = False,
) -> str:
    """Measure accuracy and cost on a split.

    Where the data set is on disk, the network runs: once with the policy, skipping for real
    (accuracy, cost, shares, time), and once through every exit (accuracy per exit, --out). Without
    a data set, the table that came with the model is used, and says so.
    """
    card = card_of(model)
    chosen = choose_policy(card, policy, criterion, thresholds)
    if split not in ("test", "calibration"):
        raise UserError(
            f"expected --split to be test or calibration, but got {split!r}."
            f"{nearest(split, ('test', 'calibration'))}"
        )
    if data is not None or on_disk(card.dataset, "test" if split == "test" else "train"):
        use_threads(threads)
        figures, table = run_network(model, split, chosen, data, device, batch_size)
    else:
        note(f"The data set {card.dataset} is not on disk: using the table that came with {model}.")
        table = shipped_table(model, split)
        figures = figures_from_table(table, chosen)
    if out is not None:
        from core.exits.table import save_tables

        save_tables(out, {split: table})
        note(f"Saved what every exit said to {out}.")
    figures = {
        "model": card.name,
        "split": split,
        "samples": len(table),
        **figures,
        "per_exit_accuracy": table.accuracy_per_exit.tolist(),
        "per_exit_agreement": table.agreement_per_exit.tolist(),
        "plain_accuracy": plain_accuracy(card, split),
        "policy": chosen.to_dict(),
    }
    return to_json(figures) if as_json else evaluation_text(figures, card, chosen)


def run_network(
    model: str, split: str, policy: Policy, data: Path | None, device: str, batch_size: int
) -> tuple[dict[str, Any], "ExitTable"]:
    """Return what a real run achieved, and the table of all exits on the same images."""
    from tqdm import tqdm

    from core.data.splits import load_split
    from core.hub.model import load

    loaded = load(model, device)
    card = loaded.card
    images = load_split(card.dataset, "test" if split == "test" else "calibration", data)
    if images.classes != card.classes:
        raise UserError(
            f"expected the data set {card.dataset} to have the classes on the card of {card.name}, "
            f"but got {len(images.classes)} others: name the right folder with --data."
        )
    with tqdm(total=len(images), desc="with exits", unit=" images", disable=None) as bar:
        result = loaded.predict(
            images.images, policy, batch_size, lambda done: bar.update(done - bar.n)
        )
    note("Asking every exit about the same images ...")
    table = loaded.table(images.images, images.labels, images.ids, batch_size)
    figures = {
        "source": "network",
        "accuracy": float((result.labels == images.labels).mean()),
        "relative_cost": float(result.costs.mean()),
        "exit_share": (np.bincount(result.exits, minlength=card.num_exits) / len(images)).tolist(),
        "seconds": result.seconds,
        "images_per_second": len(images) / result.seconds,
        "device": str(loaded.device),
    }
    return figures, table


def figures_from_table(table: "ExitTable", policy: Policy) -> dict[str, Any]:
    """Return the same figures without running anything, so without times."""
    figures = brief(report_of(table, policy))
    return {
        "source": "table", **figures, "seconds": None, "images_per_second": None, "device": None,
    }  # fmt: skip


@app.command()
def tune(
    model: ModelName,
    max_cost: Annotated[
        float | None, typer.Option(metavar="X", help="Most accurate within this relative cost.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(metavar="X", help="Cheapest losing at most this accuracy; 0.01 is a point."),
    ] = None,
    max_risk: Annotated[
        float | None, typer.Option(metavar="EPS", help="Cheapest with a risk proven to be so low.")
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(metavar="A", help="Leave where samples as sure were right so often."),
    ] = None,
    delta: Annotated[
        float, typer.Option(metavar="D", help="Probability of a wrong promise, for --max-risk.")
    ] = 0.1,
    risk: Annotated[
        str, typer.Option(metavar="R", help="accuracy_gap, ruined, consistency or brier_gap.")
    ] = "accuracy_gap",
    method: Annotated[str, typer.Option(metavar="M", help="ucb, ltt or crc.")] = "ucb",
    criterion: Annotated[
        str | None, typer.Option(metavar="C", help="By default the best of all.")
    ] = None,
    split: Annotated[str, typer.Option(metavar="SPLIT", help="calibration.")] = "calibration",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the policy (.json).")
    ] = None,
    as_json: Json = False,
) -> str:
    """Choose thresholds on the calibration split; show what they achieve on test."""
    card = card_of(model)
    goals = {
        "--max-cost": max_cost,
        "--max-drop": max_drop,
        "--max-risk": max_risk,
        "--min-accuracy": min_accuracy,
    }
    given = [name for name, value in goals.items() if value is not None]
    if len(given) != 1:
        raise UserError(
            f"expected exactly one of {', '.join(goals)}, but got "
            f"{' and '.join(given) or 'none'}: say what matters most."
        )
    if split != "calibration":
        raise UserError(
            f"expected --split calibration, but got {split!r}: a policy chosen on the images it is "
            "reported on looks better than it is; tune on calibration and report on test."
        )
    if card.num_exits == 1:
        raise UserError(f"expected a model with early exits to tune, but {card.name} has none.")
    if criterion is not None:
        check_criterion(card, criterion)
    tables = {name: shipped_table(model, name) for name in ("calibration", "test")}
    calibration = tables["calibration"]
    criteria = card.criteria if criterion is None else (criterion,)
    promised: Controlled | None = None
    if max_risk is not None:
        from core.tuning.guarantee import control, risk_on

        promised = control(calibration, criteria, max_risk, delta, method, risk)
        policy = promised.policy
        on_test = risk_on(tables["test"], policy, risk)
    elif max_drop is not None:
        from core.tuning.best import cheapest_of_all, fronts_of

        reference = card.reference_accuracy("calibration")
        fronts = fronts_of(calibration, criteria)
        policy = cheapest_of_all(calibration, fronts, reference, max_drop)
    elif max_cost is not None:
        from core.tuning.best import best_of_all, fronts_of

        policy = best_of_all(calibration, fronts_of(calibration, criteria), max_cost)
    elif min_accuracy is not None:
        from core.tuning.validated import validated_thresholds

        policy = validated_thresholds(calibration, criterion or "max_probability", min_accuracy)
    if out is not None:
        policy.save(out)
        note(f"Saved the policy to {out}.")
    reports = {name: report_of(table, policy) for name, table in tables.items()}
    if as_json:
        return to_json(
            {
                "model": card.name,
                "split": split,
                "max_cost": max_cost,
                "max_drop": max_drop,
                "max_risk": max_risk,
                "min_accuracy": min_accuracy,
                "reference_accuracy": card.reference_accuracy("calibration"),
                "policy": policy.to_dict(),
                "promise": promised.to_dict() | {"risk_on_test": on_test} if promised else None,
                **{name: brief(report) for name, report in reports.items()},
            }
        )
    text = f"{described(policy, card)}\n\n{aligned(tuned_rows(card, reports))}"
    if promised is None:
        return text
    return f"{text}\n\n{promised.guarantee} Measured on test: {on_test:.4f} of {max_risk:g}."


@app.command()
def bench(
    model: ModelName,
    policy: PolicyFile = None,
    criterion: CriterionName = None,
    thresholds: Thresholds = None,
    data: DataRoot = None,
    device: Device = "cpu",
    threads: Threads = None,
    batch_size: Annotated[
        str, typer.Option(metavar="B,B", help="Batch sizes to measure.")
    ] = "1,256",
    as_json: Json = False,
) -> str:
    """Time the network with early exits against the whole network without."""
    card = card_of(model)
    chosen = choose_policy(card, policy, criterion, thresholds)
    sizes = comma_separated("--batch-size", batch_size, int, "whole numbers like 1,256")
    if not sizes or min(sizes) < 1:
        raise UserError(f"expected every --batch-size to be at least 1, but got {batch_size!r}.")
    source, images = images_to_time(card, data)

    import torch
    from tqdm import tqdm

    from core.deploy.benchmark import measure
    from core.hub.model import load

    use_threads(threads)
    loaded = load(model, device)
    measured = [
        measure(loaded, chosen, images, size)
        for size in tqdm(sizes, desc="batch sizes", disable=None)
    ]
    count = torch.get_num_threads()
    if as_json:
        return to_json(
            {
                "model": card.name,
                "device": str(loaded.device),
                "threads": count,
                "source": source,
                "policy": chosen.to_dict(),
                "measurements": [vars(one) | {"time_ratio": one.time_ratio} for one in measured],
            }
        )
    rows = [("batch", "ms per image, plain", "with exits", "time", "relative cost (MACs)")]
    for one in measured:
        times = f"{one.plain_ms:.3f}", f"{one.early_exit_ms:.3f}", f"{one.time_ratio:.1%}"
        rows.append((str(one.batch_size), *times, f"{one.relative_cost:.1%}"))
    head = f"{card.name} on {loaded.device}, {count} CPU threads, {source} images of {card.dataset}"
    return f"{head}\n{described(chosen, card)}\n\n{aligned(rows)}"


def images_to_time(card: Card, data: Path | None) -> tuple[str, NDArray[np.uint8]]:
    """Return test images where the data set is on disk, else the samples that ship."""
    from core.data.samples import load_samples, sample_names
    from core.data.splits import load_split

    if data is None and not on_disk(card.dataset, "test") and card.dataset in sample_names():
        return "sample", load_samples(card.dataset).images
    return "test", load_split(card.dataset, "test", data).images


@data_app.command()
def prepare(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A known data set, or a name for your images.")
    ],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Folder to read instead of downloading."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Resize pictures to N × N pixels.")
    ] = None,
    data: DataRoot = None,
) -> str:
    """Download a data set, or convert a folder with one folder of images per class."""
    from core.data.sources import prepare as prepare_data

    return str(prepare_data(name, data, source, size))


def choose_policy(
    card: Card, file: Path | None, criterion: str | None, thresholds: str | None
) -> Policy:
    """Return the policy that the options ask for, by default the card's, checked for the model."""
    default = card.default_policy
    if file is not None:
        if criterion is not None or thresholds is not None:
            raise UserError(
                "expected --policy or --criterion with --thresholds, but got both: drop one."
            )
        policy = Policy.load(file)
    elif thresholds is not None:
        levels = comma_separated("--thresholds", thresholds, float, "numbers like 0.9,0.8")
        policy = Policy(criterion or default.criterion, levels)
    elif criterion in (None, default.criterion):
        policy = default
    else:
        check_criterion(card, criterion)
        raise UserError(
            f"expected --thresholds with --criterion {criterion}, but got none: those of "
            f"{card.name} belong to {default.criterion}."
        )
    check_criterion(card, policy.criterion)
    policy.check(card.num_exits)
    return policy


def check_criterion(card: Card, criterion: str) -> None:
    """Raise `UserError` unless the model can be used with the criterion."""
    if criterion not in card.criteria:
        raise UserError(
            f"expected the criterion to be one of {', '.join(card.criteria)}, which {card.name} "
            f"has, but got {criterion!r}.{nearest(criterion, card.criteria)}"
        )


def comma_separated(option: str, text: str, kind: Callable[[str], T], what: str) -> list[T]:
    """Return the values of an option like ``0.9,0.8``; none for an empty text."""
    try:
        return [kind(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        raise UserError(f"expected {option} to be {what}, but got {text!r}.") from None


def on_disk(dataset: str, file: Literal["train", "test"]) -> bool:
    """Whether a file of a prepared data set lies under the default root."""
    from core.data.prepared import prepared_path

    return prepared_path(dataset, file).is_file()


def fail(sentence: str) -> int:
    """Tell the mistake in one line; return the status for it."""
    note(f"error: {' '.join(sentence.split())}")
    return 2
