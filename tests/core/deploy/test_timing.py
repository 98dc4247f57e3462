from core.deploy.timing import median_seconds_of_each


def test_all_run_in_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    times = median_seconds_of_each(
        [lambda: calls.append("a"), lambda: calls.append("b")], repeats=3
    )
    assert calls == ["a", "b"] * 4
    assert len(times) == 2
    assert all(time >= 0 for time in times)
