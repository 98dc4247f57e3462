"""Run an exported early-exit network: each stage only for the images that are still inside.

    python run.py PICTURE...     the answer to each picture, its exit and its relative cost
    python run.py --check        run the recorded images and compare answers and exits

In a bundle, this file is `run.py`. It needs numpy, onnxruntime and, for pictures, pillow.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = Any
"""An array of NumPy's. Shapes: B images, of which R rows are still inside; K classes."""
State = tuple[Array, ...]
"""What a criterion carries from exit to exit, (R, ...) each; empty at the first exit."""
Stage = Callable[[Array], dict[str, Array]]
"""Maps features to a stage's outputs: next_features, logits (R, K), confidence (R,)."""
MANIFEST, GOLDEN = "manifest.json", "golden.npz"
TINY = np.finfo(np.float32).tiny


class BundleError(Exception):
    """A mistake that the user can mend, in a sentence."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Of N images: class indices, exits of the network, relative costs, probabilities (N, K)."""

    labels: Array
    exits: Array
    costs: Array
    probabilities: Array


def softmax(logits: Array, temperature: float) -> Array:
    """Return probabilities (R, K)."""
    weights = np.exp((logits - logits.max(axis=1, keepdims=True)) / np.float32(temperature))
    return weights / weights.sum(axis=1, keepdims=True)


def _confidence(state: State, y: Array, confidence: Array) -> tuple[Array, State]:
    return confidence, ()


def _max_probability(state: State, y: Array, confidence: Array) -> tuple[Array, State]:
    return y.max(axis=1), ()


def _entropy(state: State, y: Array, confidence: Array) -> tuple[Array, State]:
    entropy = -(y * np.log(np.maximum(y, TINY))).sum(axis=1)
    return 1 - (entropy / np.log(max(y.shape[1], 2))).clip(0, 1).astype(np.float32), ()


def _margin(state: State, y: Array, confidence: Array) -> tuple[Array, State]:
    two = np.sort(y, axis=1)[:, -2:]
    return (two[:, 1] - two[:, 0] if y.shape[1] > 1 else np.ones(len(y), np.float32)), ()


def _patience(state: State, y: Array, confidence: Array) -> tuple[Array, State]:
    answer = y.argmax(axis=1)
    last, count = state or (answer, np.zeros(len(y), np.int64))
    count = np.where(answer == last, count + 1, 1)
    return (count / (count + 1)).astype(np.float32), (answer, count)


def _exclusion(state: State, y: Array, confidence: Array) -> tuple[Array, State]:
    rows, best = np.arange(len(y)), y.argmax(axis=1)
    out = np.maximum(state[0] if state else 0, 1 - y / np.maximum(y[rows, best], TINY)[:, None])
    out[rows, best] = 1
    score = out.min(axis=1)
    out[rows, best] = 0
    return score, (out,)


def _gate(state: State, y: Array, confidence: Array) -> tuple[Array, State]:
    used, inside = state or (np.zeros(len(y)), np.ones(len(y)))
    share = np.clip(np.minimum(confidence, 1 - used), 0, None)
    leaves = np.divide(share, inside, out=np.ones(len(y)), where=inside > 0).clip(0, 1)
    return leaves.astype(np.float32), (used + confidence, inside * (1 - leaves))


SCORES: dict[str, Callable[[State, Array, Array], tuple[Array, State]]] = {
    "confidence": _confidence,
    "max_probability": _max_probability,
    "entropy": _entropy,
    "margin": _margin,
    "patience": _patience,
    "exclusion": _exclusion,
    "gate": _gate,
}
"""Criteria: state, probabilities (R, K) and confidence (R,) to scores (R,) and the new state."""


@dataclass(frozen=True, eq=False)
class Router:
    """The stages of a bundle, and the rule by which images leave between them."""

    manifest: dict[str, Any]
    stages: Sequence[Stage]

    def predict(self, images: Array, batch_size: int = 64) -> Answers:
        """Classify images uint8 (N, H, W, C) of the network's size; N is at least 1."""
        shape = tuple(self.manifest["input"]["shape"][1:])
        if images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
            raise BundleError(
                f"expected images uint8 of shape (N, {', '.join(map(str, shape))}), N at least 1, "
                f"but got {images.dtype} of shape {images.shape}."
            )
        parts = [self._batch(images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
        left, probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
        facts = self.manifest["stages"]
        exits = np.array([stage["exit_index"] for stage in facts])[left]
        costs = np.array([stage["relative_cost"] for stage in facts])[left]
        return Answers(probabilities.argmax(axis=1), exits, costs, probabilities)

    def _batch(self, features: Array) -> tuple[Array, Array]:
        score = SCORES[self.manifest["criterion"]]
        left = np.full(len(features), len(self.stages) - 1)  # the stage after which each left
        answers = np.zeros((len(features), len(self.manifest["classes"])), np.float32)
        rows = np.arange(len(features))  # the image of each row of the features
        state: State = ()
        threshold = 1.0
        for index, (facts, stage) in enumerate(
            zip(self.manifest["stages"], self.stages, strict=True)
        ):
            outputs = stage(features)
            y = softmax(outputs["logits"], facts["temperature"])
            if facts["threshold"] is None:  # the last exit
                if state and self.manifest["criterion"] == "exclusion":
                    y = np.where(state[0] > threshold, 0, np.maximum(y, TINY))
                    y /= y.sum(axis=1, keepdims=True)
                answers[rows] = y
                break
            threshold = np.float64(facts["threshold"])
            scores, state = score(state, y, outputs.get("confidence"))
            leaves = scores > threshold  # strictly
            left[rows[leaves]], answers[rows[leaves]] = index, y[leaves]
            if leaves.all():
                break
            features = outputs["next_features"]
            if leaves.any():
                inside = ~leaves
                features, rows = features[inside], rows[inside]
                state = tuple(part[inside] for part in state)
        return left, answers


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a bundle whose files are those that were exported."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = dict(manifest["files"])
    except (OSError, ValueError, TypeError, KeyError):
        raise BundleError(
            f"expected {folder} to be an exported bundle, but its {MANIFEST} is missing or "
            "damaged: export the model again."
        ) from None
    for name, checksum in files.items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != checksum:
            raise BundleError(
                f"expected {path} to be the file that {MANIFEST} describes, but it is missing or "
                "its SHA-256 differs: copy the whole bundle again."
            )
    if manifest["criterion"] not in SCORES:
        raise BundleError(
            f"expected the criterion to be one of {', '.join(SCORES)}, but got "
            f"{manifest['criterion']!r}: export with another policy."
        )
    return manifest


def onnx_stage(path: Path, facts: dict[str, Any], threads: int) -> Stage:
    """Return a stage that ONNX Runtime runs, checked to read and write what the manifest says."""
    try:
        import onnxruntime
    except ImportError:
        raise BundleError(
            "expected onnxruntime to be installed, but it is not: pip install onnxruntime."
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Idle threads of one stage must not keep the cores from the next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (read,) = session.get_inputs()
    found = {one.name: one.shape[1:] for one in (read, *session.get_outputs())}
    expected = {name: shape[1:] for name, shape in (facts["inputs"] | facts["outputs"]).items()}
    if found != expected:
        raise BundleError(
            f"expected {path} to read and write {expected}, but got {found}: it is another stage; "
            "copy the whole bundle again."
        )
    names = list(facts["outputs"])
    return lambda features: dict(zip(names, session.run(names, {read.name: features}), strict=True))


def open_bundle(folder: Path, threads: int = 0) -> Router:
    """Open a bundle with ONNX Runtime, on so many threads; 0: as many as there are cores."""
    manifest = read_manifest(folder)
    facts = manifest["stages"]
    return Router(manifest, [onnx_stage(folder / one["file"], one, threads) for one in facts])


def read_picture(path: Path, read: dict[str, Any]) -> Array:
    """Return a picture as the network reads it, uint8 (H, W, C)."""
    from PIL import Image, ImageOps

    def square(picture: Any, size: int) -> Any:
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        cropped = picture.crop((left, top, left + side, top + side))
        return cropped.resize((size, size), Image.Resampling.LANCZOS)

    def stepped(picture: Any) -> Any:
        for step in read["steps"]:
            width, height = picture.size
            match step["kind"]:
                case "central_square":
                    picture = square(picture, step["size"])
                case "resize":
                    sides = step["size"][::-1]
                    if len(sides) == 1:
                        long = int(sides[0] * max(width, height) / min(width, height))
                        sides = (sides[0], long) if width <= height else (long, sides[0])
                    resampling = Image.Resampling[step["interpolation"].upper()]
                    picture = picture.resize(sides, resampling)
                case "center_crop":
                    high, wide = step["size"]
                    left, top = round((width - wide) / 2), round((height - high) / 2)
                    picture = picture.crop((left, top, left + wide, top + high))
                case "grayscale":
                    picture = picture.convert("L")
                    if step["channels"] == 3:
                        picture = Image.merge("RGB", (picture,) * 3)
        return picture

    try:
        picture = ImageOps.exif_transpose(Image.open(path))
        if "transparency" in picture.info or picture.mode in ("LA", "PA", "RGBA"):
            picture = picture.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture)
        picture = picture.convert("L" if read["channels"] == 1 else "RGB")
    except (OSError, ValueError) as error:
        raise BundleError(f"expected {path} to be a picture, but got: {error}.") from None
    size = tuple(read["size"])
    for smaller in (0, min(picture.size), max(size)):
        candidate = stepped(square(picture, smaller) if smaller else picture)
        if candidate.size == size[::-1]:
            break
    array = np.array(candidate, np.uint8)
    return array.reshape(*array.shape[:2], -1)


def check(router: Router, folder: Path) -> str:
    """Run the recorded images at two batch sizes; return a sentence that all are as recorded."""
    golden = np.load(folder / GOLDEN, allow_pickle=False)
    for batch_size in (1, len(golden["images"])):
        got = router.predict(golden["images"], batch_size)
        wrong = (got.labels != golden["labels"]) | (got.exits != golden["exits"])
        if wrong.any():
            raise BundleError(
                f"expected the answers and exits in {folder / GOLDEN}, but {wrong.sum()} of "
                f"{len(wrong)} differ at batch size {batch_size}: use other versions of "
                "onnxruntime and numpy, or export the model again on this machine."
            )
    return f"all {len(golden['images'])} recorded answers and exits are the same"


def lines(arguments: Sequence[str], folder: Path) -> Iterator[str]:
    """Yield what a command line prints."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("pictures", nargs="*", type=Path, metavar="PICTURE")
    parser.add_argument("--check", action="store_true", help="compare with the recorded answers")
    parser.add_argument("--json", action="store_true", help="print one JSON object a picture")
    options = parser.parse_args(arguments)
    if not options.pictures and not options.check:
        parser.error("expected a picture or --check")
    router = open_bundle(folder)
    if options.check:
        yield check(router, folder)
    names = {one["exit_index"]: one["exit"] for one in router.manifest["stages"]}
    for path in options.pictures:
        result = router.predict(read_picture(path, router.manifest["input"])[None])
        label, exit_index = int(result.labels[0]), int(result.exits[0])
        answer = router.manifest["classes"][label]
        probability, cost = float(result.probabilities[0, label]), float(result.costs[0])
        if options.json:
            facts = {"image": str(path), "answer": answer, "label": label, "exit_index": exit_index}
            yield json.dumps(facts | {"probability": probability, "relative_cost": cost})
        else:
            left = f"left at {names[exit_index]}, relative cost {cost:.1%}"
            yield f"{path}: {answer} ({probability:.1%}), {left}"


if __name__ == "__main__":
    try:
        for line in lines(sys.argv[1:], Path(__file__).resolve().parent):
            sys.stdout.write(f"{line}\n")
    except BundleError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None
