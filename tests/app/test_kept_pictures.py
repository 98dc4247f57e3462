from app.kept_pictures import KeptPictures, Own


def test_pictures_are_kept_for_a_while_and_within_a_budget() -> None:
    now = [0.0]
    kept = KeptPictures(budget=10, seconds=60, clock=lambda: now[0])
    first = kept.keep([Own("a", b"12345"), Own("b", b"1")])
    assert [one.name for one in kept.find(first)] == ["a", "b"]
    now[0] = 61
    assert kept.find(first) == ()
    second, third = (kept.keep([Own("c", bytes(6))]) for _ in range(2))
    assert kept.find(second) == ()
    assert len(kept.find(third)) == 1
    assert kept.find(kept.keep([Own("large", bytes(11))])) == ()
    assert len({first, second, third}) == 3
    assert kept.find("") == ()
