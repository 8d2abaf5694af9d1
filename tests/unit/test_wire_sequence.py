"""Which sequence numbers arrived."""

import itertools
import random

from tallystick_wire.sequence import MAX_GAP_RANGES, Seen, covers


def arrived(*numbers: int) -> Seen:
    seen = Seen()
    for number in numbers:
        seen.add(number)
    return seen


def test_nothing_yet() -> None:
    assert Seen().ack() == (0, [])
    assert Seen().missing() == []
    assert not covers(0, [], 1)


def test_in_order_out_of_order_and_twice() -> None:
    seen = Seen()
    assert [seen.add(number) for number in (1, 2, 5, 4, 2, 3)] == [True, True, True, True, False, True]
    assert seen.ack() == (5, [])


def test_gaps() -> None:
    seen = arrived(2, 3, 7, 9)
    assert seen.ack() == (9, [(1, 1), (4, 6), (8, 8)])
    assert [number for number in range(1, 12) if covers(9, [(1, 1), (4, 6), (8, 8)], number)] == [2, 3, 7, 9]


def test_what_never_comes_is_settled_and_still_new_when_it_comes() -> None:
    seen = arrived(1, 2, 257)
    seen.forget(3, 256)
    assert seen.ack() == (257, [])
    assert not seen.has(100)
    assert seen.add(100)
    assert seen.has(100)
    seen.forget(5, 4)  # nothing
    assert seen.ack() == (257, [])


def test_too_many_gaps_lower_high() -> None:
    seen = arrived(*range(2, 200, 2))
    high, gaps = seen.ack()
    assert len(gaps) == MAX_GAP_RANGES
    assert high == 64  # 32 gaps: 1, 3, ... 63; the next would be 65
    assert covers(high, gaps, 64)
    assert not covers(high, gaps, 65)
    assert not covers(high, gaps, 66)


def test_against_a_set_of_numbers() -> None:
    """Random arrivals and losses against the plainest model."""
    source = random.Random(20260)
    for _ in range(200):
        seen, model, settled = Seen(), set[int](), set[int]()
        for _ in range(source.randrange(60)):
            if source.random() < 0.8:
                number = source.randrange(1, 80)
                assert seen.add(number) == (number not in model)
                model.add(number)
                settled.add(number)
            else:
                first = source.randrange(1, 80)
                last = first + source.randrange(-1, 6)
                seen.forget(first, last)
                settled.update(range(first, last + 1))
        high, gaps = seen.ack()
        assert {number for number in range(1, 100) if seen.has(number)} == model
        expected = {number for number in settled if number <= high}
        assert {number for number in range(1, 100) if covers(high, gaps, number)} == expected
        assert all(last + 1 < first for (_, last), (first, _) in itertools.pairwise(gaps))
        if len(gaps) < MAX_GAP_RANGES:
            assert high == max(settled, default=0)
