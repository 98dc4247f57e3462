"""Maps appear exit by exit, and are not computed for nobody."""

import gc
import threading

import numpy as np

from app.saliency_maps import Map, SaliencyMaps


def test_each_map_is_there_as_soon_as_it_is_computed() -> None:
    first, go_on = threading.Event(), threading.Event()

    def compute(index: int) -> Map:
        if index == 1:
            first.set()
            assert go_on.wait(60)
        return np.full((2, 2), index, np.float32)

    maps = SaliencyMaps(compute, 3)
    assert first.wait(60)
    assert maps.job.running
    assert list(maps.found) == [0]
    go_on.set()
    assert maps.job.wait(60)
    assert [float(one.max()) for one in maps.found.values()] == [0, 1, 2]


def test_nothing_is_computed_any_more_once_nobody_looks() -> None:
    started, go_on = threading.Event(), threading.Event()
    computed = []

    def compute(index: int) -> Map:
        computed.append(index)
        started.set()
        assert go_on.wait(60)
        return np.zeros((2, 2), np.float32)

    maps: SaliencyMaps | None = SaliencyMaps(compute, 3)
    assert maps is not None
    shared = maps.job._shared
    assert started.wait(60)
    maps = None
    gc.collect()
    go_on.set()
    assert shared.done.wait(60)
    assert shared.stage == "stopped"
    assert computed == [0]
