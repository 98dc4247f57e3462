from core.timing import median_seconds


def test_what_is_timed_runs_once_more_than_asked() -> None:
    calls: list[int] = []
    assert median_seconds(lambda: calls.append(1), repeats=3) >= 0
    assert len(calls) == 4
