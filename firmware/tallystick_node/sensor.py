"""What a node measures: every channel gives a value that can be believed, or a fault that says why not; never silence.

A driver offers channels (its `channels()`), a board lists them, `measure` asks them. Numbers are whole, in the finest
unit that the channel has on the wire (senml.CHANNELS): hundredths of a degree, percent, millivolt.
"""

from tallystick_node.errors import NodeError, SensorError
from tallystick_wire import senml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# The faults that a driver or a check here names. Short: all of a reading's faults share MAX_FAULTS_CHARACTERS.
NO_ANSWER = "no answer"
BAD_CHECKSUM = "checksum"
OUT_OF_RANGE = "out of range"  # more than the data sheet says that the sensor can measure
JUMP = "jump"  # faster than what it measures can change
STUCK = "stuck"  # not even its noise moves any more
BROKEN_DRIVER = "driver"  # it raised what no driver may

FAULTS = "f"
MAX_FAULTS_CHARACTERS = 64  # one line on a screen; with all of them a reading stays below 320 bytes
MAX_FAULT_CHARACTERS = 15  # of one fault, three of which fit the text; a longer one is cut
NOTHING_MEASURED = "no channel"

# So many values in a row that agree with each other, and not with the level believed so far, are the new level: two may
# be one disturbance seen twice. As many good ones in a row end a fault: a loose wire is one fault, not one a minute.
BELIEVE_AFTER = 3
MINUTE_MS = 60_000


class Taken:
    """What one measurement says. `urgent`: somebody should hear of it now, and not with the next batch."""

    __slots__ = ("records", "urgent")

    def __init__(self, records: "list[senml.Record]", urgent: bool) -> None:
        self.records = records
        self.urgent = urgent


class Channel:
    """One thing that a board measures, under its name on the wire.

    `read()` gives a whole number, or a bool for a switch; SensorError with a fault, OSError for a bus without answer.
    Outside `lowest`..`highest` it is no measurement. From one value to the next it may change by `noise` plus
    `per_minute` for each minute in between (None: by anything); the same number `stuck_after` times in a row is a
    fault (None: never). `low_priority` channels are left out while flash is short. One that `may_rest` may read None,
    as a radio does that is off: then the value before holds, and before the first one nothing is told.

    Of the site's configuration: `offset` is added to what the sensor says (its calibration), and below `alarm_low` or
    above `alarm_high` a value is urgent.
    """

    def __init__(
        self,
        name: str,
        read: "Callable[[], object]",
        lowest: int = 0,
        highest: int = 0,
        noise: int = 0,
        per_minute: "int | None" = None,
        stuck_after: "int | None" = None,
        low_priority: bool = False,
        may_rest: bool = False,
    ) -> None:
        if name not in senml.CHANNELS:
            raise NodeError("the channel %s is not in senml.CHANNELS" % name)
        self.name = name
        self.read = read
        self.lowest, self.highest = lowest, highest
        self.noise = noise
        self.per_minute = per_minute
        self.stuck_after = stuck_after
        self.low_priority = low_priority
        self.may_rest = may_rest
        self.offset = 0
        self.alarm_low: "int | None" = None
        self.alarm_high: "int | None" = None
        self.belief = Belief()

    def take(self, uptime_ms: int) -> "tuple[int | None, str]":
        """(value, ""), (None, fault), or (None, "") from a channel that rests and has never measured."""
        try:
            value = self.read()
            if value is None and self.may_rest:
                value = self.belief.last
                if value is None:
                    return None, ""
            if isinstance(value, bool):
                return value, ""
            if not isinstance(value, int):
                return None, BROKEN_DRIVER
            if not self.lowest <= value <= self.highest:
                raise SensorError(OUT_OF_RANGE)
            self._check_change(value, uptime_ms)
        except SensorError as error:
            return None, str(error)[:MAX_FAULT_CHARACTERS]
        except OSError:
            return None, NO_ANSWER
        except Exception:  # noqa: BLE001  whatever a driver does: the other channels are measured all the same
            return None, BROKEN_DRIVER
        return value + self.offset, ""

    def save(self) -> "list[Any]":
        """What deep sleep must keep. One that may rest looks once more: after the sleep it may have nothing to say."""
        if self.may_rest:
            self.take(0)
        return self.belief.save()

    def record(self, value: int) -> senml.Record:
        unit, exponent = senml.CHANNELS[self.name]
        return senml.Record(self.name, unit, senml.Decimal(exponent, value) if exponent else value)

    def is_urgent(self, value: "int | None", fault: str) -> bool:
        """Whether this is news: a switch that moved, a fault that begins or ends, an alarm that begins or ends."""
        belief = self.belief
        before = (belief.is_faulty, belief.is_alarm, belief.switch)
        belief.good_in_a_row = 0 if fault else belief.good_in_a_row + 1
        if fault:
            belief.is_faulty = True
        elif belief.good_in_a_row >= BELIEVE_AFTER:
            belief.is_faulty = False
        if isinstance(value, bool):
            belief.switch = value
        elif value is not None:
            belief.is_alarm = self._is_alarm(value, self.noise if belief.is_alarm else 0)
        return before != (belief.is_faulty, belief.is_alarm, belief.switch)

    def _is_alarm(self, value: int, margin: int) -> bool:
        """`margin`: an alarm ends only when the value is that far inside, so that noise does not ring it anew."""
        too_low = self.alarm_low is not None and value < self.alarm_low + margin
        return too_low or (self.alarm_high is not None and value > self.alarm_high - margin)

    def _check_change(self, value: int, uptime_ms: int) -> None:
        belief = self.belief
        belief.repeats = belief.repeats + 1 if value == belief.last else 1
        belief.last = value
        if self.per_minute is not None and not self._is_believed(value, uptime_ms):
            raise SensorError(JUMP)
        if self.stuck_after is not None and belief.repeats >= self.stuck_after:
            raise SensorError(STUCK)

    def _is_believed(self, value: int, uptime_ms: int) -> bool:
        belief = self.belief
        if belief.level is None or self._is_near(belief.level, value, uptime_ms):
            belief.rivals = 0
        else:
            agrees = belief.rival is not None and self._is_near(belief.rival, value, uptime_ms)
            belief.rivals = belief.rivals + 1 if belief.rivals and agrees else 1
            belief.rival = [value, uptime_ms]
            if belief.rivals < BELIEVE_AFTER:
                return False
            belief.rivals = 0
        belief.level = [value, uptime_ms]
        return True

    def _is_near(self, level: "list[int]", value: int, uptime_ms: int) -> bool:
        return abs(value - level[0]) <= self.noise + (self.per_minute or 0) * (uptime_ms - level[1]) // MINUTE_MS


class Belief:
    """What a channel remembers from one measurement to the next.

    `level`: the last value believed and its uptime; `rival`: the last one that was too far from it, and `rivals` how
    many of those agreed so far; `last`: the last value at all, seen `repeats` times in a row.
    """

    __slots__ = ("good_in_a_row", "is_alarm", "is_faulty", "last", "level", "repeats", "rival", "rivals", "switch")

    def __init__(self) -> None:
        self.restore([None, None, 0, None, 0, False, 0, False, False])

    def save(self) -> "list[Any]":
        """What deep sleep must keep, as CBOR can hold it."""
        return [
            self.level,
            self.rival,
            self.rivals,
            self.last,
            self.repeats,
            self.is_faulty,
            self.good_in_a_row,
            self.is_alarm,
            self.switch,
        ]

    def restore(self, saved: "list[Any]") -> None:
        self.level: "list[int] | None" = saved[0]
        self.rival: "list[int] | None" = saved[1]
        self.rivals: int = saved[2]
        self.last: "int | None" = saved[3]
        self.repeats: int = saved[4]
        self.is_faulty: bool = saved[5]
        self.good_in_a_row: int = saved[6]
        self.is_alarm: bool = saved[7]
        self.switch: bool = saved[8]


def listed(channels: "list[Channel]") -> "list[Channel]":
    """The channels of a board, each name once."""
    names = [channel.name for channel in channels]
    for name in names:
        if names.count(name) > 1:
            raise NodeError("two channels are called %s" % name)
    return channels


def measure(channels: "list[Channel]", uptime_ms: int, essentials_only: bool = False) -> Taken:
    """Ask every channel, in their order. At least one record comes out, and no exception."""
    records: "list[senml.Record]" = []
    faults: "list[str]" = []
    urgent = False
    for channel in channels:
        if essentials_only and channel.low_priority:
            continue
        value, fault = channel.take(uptime_ms)
        if fault:
            faults.append("%s: %s" % (channel.name, fault))
        elif value is not None:
            records.append(channel.record(value))
        urgent = channel.is_urgent(value, fault) or urgent
    if not records and not faults:
        faults.append(NOTHING_MEASURED)
    if faults:
        records.append(senml.Record(FAULTS, None, told(faults)))
    return Taken(records, urgent)


def told(faults: "list[str]") -> str:
    """The faults as one text of at most MAX_FAULTS_CHARACTERS; those for which there is no room are counted."""
    for count in range(len(faults), 0, -1):
        shown = faults[:count]
        if count < len(faults):
            shown.append("+%d" % (len(faults) - count))
        text = "; ".join(shown)
        if len(text) <= MAX_FAULTS_CHARACTERS:
            return text
    return "+%d" % len(faults)


def configure(
    channels: "list[Channel]", offsets: "dict[str, int]", alarms: "dict[str, tuple[int | None, int | None]]"
) -> None:
    """The site's calibration and alarm limits (low, high). A name that this board does not have means nothing to it."""
    for channel in channels:
        channel.offset = offsets.get(channel.name, 0)
        channel.alarm_low, channel.alarm_high = alarms.get(channel.name, (None, None))
