"""What hangs on a plain pin: switches and the battery. MicroPython subset."""

from sensor_story import Clock, scenario, told

from tallystick_node.battery import Battery
from tallystick_node.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Door:
    """A switch to ground on a pin with a pull-up: 1 while it is open."""

    IRQ_RISING, IRQ_FALLING = 1, 2

    def __init__(self, now_ms: int = 0) -> None:
        self.clock = Clock(now_ms)
        self.level = 0
        self.is_late = False  # interrupts are served when everything is over
        self.waiting = 0
        self.channels = Switch("d", self, now_ms=self.clock.now).channels()

    def value(self) -> int:
        return self.level

    def irq(self, handler: "Callable[[Any], None]", trigger: int) -> None:
        self.handler = handler

    def move(self, level: int, after_ms: int) -> None:
        self.clock.now_ms = (self.clock.now_ms + after_ms) % (1 << 30)
        self.level = level
        if self.is_late:
            self.waiting += 1
        else:
            self.handler(self)

    def serve(self) -> None:
        for _ in range(self.waiting):
            self.handler(self)

    def told(self) -> str:
        return told(self.channels)


@scenario("door shut")
def _() -> str:
    return Door().told()


@scenario("door open")
def _() -> str:
    door = Door()
    door.move(1, 100)
    return door.told() + " | " + door.told()


@scenario("door opened between two readings")
def _() -> str:
    door = Door()
    door.move(1, 100)
    door.move(0, 200)
    return door.told() + " | " + door.told()


@scenario("door bounced")
def _() -> str:
    door = Door()
    door.move(1, 100)
    door.move(0, 3)
    return door.told()


@scenario("door seen too late")
def _() -> str:
    door = Door()
    door.is_late = True
    door.move(1, 100)
    door.move(0, 200)
    door.serve()
    return door.told() + " | " + door.told()


@scenario("door across the wrap of the clock")
def _() -> str:
    door = Door((1 << 30) - 10)
    door.move(1, 5)
    door.move(0, 200)
    return door.told() + " | " + door.told()


# --- battery


class Adc:
    def __init__(self, level: int) -> None:
        self.level = level

    def read_u16(self) -> int:
        return self.level


class CalibratedAdc(Adc):
    def read_uv(self) -> int:
        return 1_200_000


def battery(adc: Adc) -> str:
    return told(Battery(adc, 200_000, 100_000).channels())


@scenario("battery well")
def _() -> str:
    return battery(Adc(23831))


@scenario("battery calibrated")
def _() -> str:
    return battery(CalibratedAdc(0))


@scenario("battery wire off")
def _() -> str:
    return battery(Adc(0))


@scenario("battery divider broken")
def _() -> str:
    return battery(Adc(65535))
