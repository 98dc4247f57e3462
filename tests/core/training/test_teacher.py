from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from core.data.splits import load_split
from core.foundation.errors import UserError
from core.hub.model import load, trained
from core.training.loop import Trainer
from core.training.recipe import Recipe
from core.training.teacher import Teacher
from tests.core.training.tiny import bars, tiny_recipe

CPU = torch.device("cpu")
MNIST = {"num_classes": 10, "in_channels": 1, "image_size": 28}


UNLABELLED = {"epochs": 4, "learning_rate": 0.1, "exit_weights": [0, 0, 0], "distillation": 1.0}


def pupil(*phases: dict[str, Any]) -> Recipe:
    network = {"backbone": "eenet8", "exits": ["block1", "block2"]} | MNIST
    return tiny_recipe(list(phases) or [UNLABELLED], network=network, teacher="eenet8-mnist")


def test_exits_learn_from_a_teacher_without_any_labels() -> None:
    digits = load_split("mnist-samples", "train").select(np.arange(0, 4000, 2))
    unknown = replace(digits, labels=digits.labels * 0)
    made = Trainer.of_recipe(
        pupil(), unknown, load_split("mnist-samples", "calibration"), CPU, find=trained
    )
    *_, last = made.epochs()
    assert last.accuracy[0] > 0.25  # of ten classes
    assert min(last.accuracy[1:]) > 0.5
    assert made.teacher is not None
    assert not any(name.startswith("teacher") for name in made.checkpoint().tensors)


def test_a_teacher_answers_like_the_model() -> None:
    model = load("eenet8-mnist")
    images = load_split("mnist-samples", "test").images[:20]
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    made = Teacher("eenet8-mnist", trained("eenet8-mnist"), pupil().network, CPU)
    expected = torch.tensor(model.table(images).probabilities[:, -1], dtype=torch.float32)
    torch.testing.assert_close(made(pixels).softmax(1), expected, atol=1e-3, rtol=0)


def test_a_teacher_of_other_images_is_a_sentence() -> None:
    recipe = tiny_recipe(
        [{"epochs": 1, "learning_rate": 0.1, "distillation": 1.0}], teacher="eenet8-mnist"
    )
    with pytest.raises(UserError, match="same `num_classes` as the network, 2, but it has 10"):
        Trainer.of_recipe(recipe, bars(32, 0), bars(32, 1), CPU, find=trained)


def test_a_phase_may_do_without_the_teacher() -> None:
    phase = {"epochs": 1, "learning_rate": 0.1, "distillation": 1.0, "self_taught": True}
    apart = pupil(phase, phase | {"self_taught": False})
    alone = apart.model_copy(update={"teacher": None})
    few = np.arange(0, 400, 2)
    digits = [load_split("mnist-samples", split).select(few) for split in ("train", "calibration")]
    expected = Trainer.of_recipe(alone, *digits, CPU, find=trained).train_epoch()
    made = Trainer.of_recipe(apart, *digits, CPU, find=trained)
    assert made.train_epoch().loss == expected.loss
    assert made.train_epoch().loss != expected.loss


@pytest.mark.parametrize("changes", [{}, {"distillation": 1.0, "self_taught": True}])
def test_a_teacher_whom_no_phase_listens_to_is_a_mistake(changes: dict[str, Any]) -> None:
    phase = {"epochs": 1, "learning_rate": 0.1} | changes
    with pytest.raises(UserError, match="a phase with `distillation`, as there is a `teacher`"):
        tiny_recipe([phase], teacher="eenet8-mnist")
