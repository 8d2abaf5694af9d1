"""What a node does to its flash: the real node, a real LittleFS with 4 KB blocks, every erase counted."""

import pytest

from tallystick_tools import wear
from tallystick_tools.wear import Wear

READINGS = 3000


@pytest.fixture(scope="module")
def life() -> Wear:
    return wear.measure(READINGS)


def test_100_readings_cost_at_most_6_erases_from_the_first_power_on() -> None:
    """The key, the enrolment, the reservation of numbers and LittleFS's own metadata included."""
    assert wear.measure(100).erases <= 6


def test_100_readings_cost_at_most_6_erases_for_ever(life: Wear) -> None:
    """With boots, acknowledgements, anchors and a probe and a door in every reading."""
    assert life.boots == 3
    assert life.erases_per_100_readings <= 6


def test_a_year_at_a_reading_a_minute_wears_no_block_out(life: Wear) -> None:
    """Judged on the worst block, which stays below a twentieth of what the chip bears; extrapolated from a part."""
    assert life.worst_block_erases_a_year < wear.ENDURANCE_ERASES / 20
