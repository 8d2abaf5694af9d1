"""All stories of sensors. Run as a program it tells each of them. MicroPython subset."""

import story_ds18b20  # noqa: F401
import story_pins  # noqa: F401
import story_radio  # noqa: F401
import story_sht3x  # noqa: F401
from sensor_story import SCENARIOS, run

__all__ = ["SCENARIOS", "run"]

if __name__ == "__main__":
    for each in SCENARIOS:
        print(f"{each}: {run(each)}")
