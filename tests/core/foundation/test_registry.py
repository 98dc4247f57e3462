import pytest

from core.foundation.errors import UserError
from core.foundation.registry import Registry


def test_a_registry_keeps_order_suggests_names_and_refuses_taken_ones() -> None:
    registry: Registry[int] = Registry("number")
    assert registry.register("two")(2) == registry["two"] == 2
    registry.register("one")(1)
    assert list(registry) == ["two", "one"]
    with pytest.raises(UserError, match=r"name of a number, but got 'oen'\. Did you mean 'one'"):
        registry["oen"]
    with pytest.raises(UserError, match="'two' is registered already"):
        registry.register("two")(3)
    assert registry["two"] == 2
