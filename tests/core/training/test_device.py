"""The arithmetic of a device, asked without trust in what a build of PyTorch has."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.training.device import uses_bfloat16

CPU = torch.device("cpu")


def absent() -> Any:
    return SimpleNamespace()


def not_built_in() -> Any:
    def question() -> bool:
        raise NotImplementedError("not linked")

    return SimpleNamespace(_is_mkldnn_bf16_supported=question)


@pytest.mark.parametrize("mkldnn", [absent, not_built_in])
def test_a_build_that_cannot_tell_computes_in_float32(
    mkldnn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", mkldnn())
    assert not uses_bfloat16("auto", CPU)
    assert uses_bfloat16("bfloat16", CPU)


@pytest.mark.parametrize("answer", [True, False])
def test_a_build_that_can_tell_is_believed(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    known = SimpleNamespace(_is_mkldnn_bf16_supported=lambda: answer)
    monkeypatch.setattr(torch.ops, "mkldnn", known)
    assert uses_bfloat16("auto", CPU) is answer
