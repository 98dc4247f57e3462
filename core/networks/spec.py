"""Specifications of networks, as cards and recipes hold them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class NetworkSpec(BaseModel):
    """Everything that is needed to build a network without its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    """A registered trunk, "torchvision-…" or "timm-…", or "factory" for a module of one's own."""
    factory: str = ""
    """Name of the function that made it ("my_nets.py:make"), for people; never imported."""
    exits: tuple[str, ...] = ()
    """Names of the blocks that early exits follow; none for a plain network."""
    placement: str | None = None
    """Instead of names: fine, pareto, linear or golden, together with `num_early`."""
    num_early: int = Field(default=0, ge=0)
    head: str = "pool"
    heads: tuple[str, ...] = ()
    """Kind of each early exit's head where they differ; all `head` if not given."""
    confidence: bool = True
    """Whether early exits have a confidence branch."""
    confidence_input: str = "features"
    """What the confidence branches read: features, answer (how sure it is) or both."""
    sigmoid: bool = False
    """Whether early exits tell for each class if it is still possible (class exclusion)."""
    num_classes: int = Field(ge=2, le=100_000)
    in_channels: int = Field(ge=1, le=1024)
    image_size: int = Field(ge=1, le=4096)

    @model_validator(mode="before")
    @classmethod
    def _knows_old_cards(cls, values: Any) -> Any:
        """Read the name that `confidence_input` has in cards made before it was called so."""
        if isinstance(values, dict) and "evidence" in values:
            values = {"confidence_input": values["evidence"]} | values
            del values["evidence"]
        return values
