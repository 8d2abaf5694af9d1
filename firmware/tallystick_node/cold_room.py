"""A cold room to measure where there is none: walls, goods, a compressor with hysteresis, people who open the door.

Time in the room runs 60 times as fast as outside: a demo of a minute shows an hour of a room's life.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Excursion = tuple[int, int]

SPEEDUP = 60
STEP_S = 5.0  # of the room's time; short against every time constant below
AMBIENT_CELSIUS = 24.0
COMPRESSOR_ON_CELSIUS, COMPRESSOR_OFF_CELSIUS = 5.0, 3.0
COOLING_CELSIUS_PER_S = 0.03
WALL_S = 7200.0  # time constants: air to outside through the walls, through the open door, and to the goods
DOOR_S = 240.0
BROKEN_DOOR_S = 400.0  # ajar, and the compressor is off
GOODS_S = 1200.0
GOODS_MASS = 12.0  # the goods hold this many times the air's heat
DOOR_EVERY_S = 1500.0
DOOR_OPEN_S = (10.0, 25.0)
SENSOR_NOISE_CENTI = 5


class Measurement:
    """Hundredths of a degree Celsius, percent, millivolt."""

    __slots__ = ("battery_mv", "door_open", "humidity_percent", "temperature_centi_celsius")

    def __init__(self, temperature_centi_celsius: int, humidity_percent: int, battery_mv: int, door_open: bool) -> None:
        self.temperature_centi_celsius = temperature_centi_celsius
        self.humidity_percent = humidity_percent
        self.battery_mv = battery_mv
        self.door_open = door_open


class ColdRoom:
    """`excursion`: (start_ms, duration_ms) of uptime in which the compressor fails and the door stands ajar."""

    def __init__(self, seed: int, excursion: "Excursion | None") -> None:
        self._chance = seed * 2654435761 % 4294967295 + 1  # never 0, where the generator would stay
        self._excursion = excursion
        self._now_s = 0.0
        self.door_moved: "Callable[[], None] | None" = None  # called at the moment when door_open changes
        self._air = 3.5 + self._random()
        self._goods = self._air
        self._cooling = self._random() < 0.5
        self._door_opens_s = DOOR_EVERY_S * self._random()
        self._door_closes_s = 0.0
        self.door_open = False

    def measure(self, uptime_ms: int) -> Measurement:
        """What a sensor in the room says at that uptime; uptimes must not fall."""
        end_s = uptime_ms * SPEEDUP / 1000
        while self._now_s < end_s:
            step_s = min(STEP_S, end_s - self._now_s)
            self._advance(step_s)
            self._now_s += step_s
        noise = int((2 * self._random() - 1) * SENSOR_NOISE_CENTI)
        humidity = 72 + int(2 * (self._air - COMPRESSOR_OFF_CELSIUS)) - (4 if self._cooling else 0)
        battery_mv = 3600 - int(self._now_s / 86400) % 600 + noise // 2
        return Measurement(int(self._air * 100) + noise, max(0, min(100, humidity)), battery_mv, self.door_open)

    def uptime_ms(self) -> int:
        """Up to when the room has lived."""
        return int(self._now_s * 1000 / SPEEDUP)

    def _advance(self, step_s: float) -> None:
        failing = self._failing()
        self._move_door(failing)
        if failing or self._air <= COMPRESSOR_OFF_CELSIUS:
            self._cooling = False
        elif self._air >= COMPRESSOR_ON_CELSIUS:
            self._cooling = True
        outside = AMBIENT_CELSIUS - self._air
        change = outside / WALL_S + (self._goods - self._air) / GOODS_S
        if self.door_open:
            change += outside / (BROKEN_DOOR_S if failing else DOOR_S)
        if self._cooling:
            change -= COOLING_CELSIUS_PER_S
        self._goods += (self._air - self._goods) / GOODS_S / GOODS_MASS * step_s
        self._air += change * step_s

    def _failing(self) -> bool:
        if self._excursion is None:
            return False
        start_ms, duration_ms = self._excursion
        return 0 <= self._now_s * 1000 / SPEEDUP - start_ms < duration_ms

    def _move_door(self, failing: bool) -> None:
        if self._now_s >= self._door_opens_s:
            shortest, longest = DOOR_OPEN_S
            self._door_closes_s = self._now_s + shortest + (longest - shortest) * self._random()
            # At least half the usual time passes: the room cools down again in between.
            self._door_opens_s = self._now_s + DOOR_EVERY_S * (0.5 + self._random())
        is_open = failing or self._now_s < self._door_closes_s
        if is_open != self.door_open:
            self.door_open = is_open
            if self.door_moved is not None:
                self.door_moved()

    def _random(self) -> float:
        """0 <= x < 1; a Lehmer generator of its own, because MicroPython's differs from CPython's."""
        self._chance = self._chance * 48271 % 2147483647
        return self._chance / 2147483647
