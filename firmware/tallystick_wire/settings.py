"""What a configuration may tell a node: a map of settings, each with its limits. Whoever signs one checks it here too.

    interval_ms      between two readings
    batch_readings   so many are written to flash and sent together
    batch_ms         the oldest of a batch waits no longer than that
    give_up_oldest   a full store gives up its oldest readings (true), or makes no new ones (false)
    offsets          {channel: number added to what the sensor says}
    alarms           {channel: [lowest | null, highest | null]}: beyond them a reading is sent at once
    name             what people call the node

Numbers of a channel are whole, in its finest unit (senml.CHANNELS): hundredths of a degree, percent, millivolt.
A setting that is left out is the board's own.
"""

from tallystick_wire import cbor, senml
from tallystick_wire.errors import ManifestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MIN_INTERVAL_MS = 1000  # the smallest boards sign for a large part of a second
MAX_INTERVAL_MS = 86_400_000  # a node that is heard less than once a day is not watched
MAX_BATCH_READINGS = 20  # a power cut costs at most a batch; 20 readings fill one flash block
MAX_BATCH_MS = 86_400_000  # as the interval: what a gateway hears later than that is no news
MAX_CHANNEL_NUMBER = 100_000  # a thousand degrees, a hundred volts: more is a mistake
MAX_NAME_CHARACTERS = 32  # one line on a label


def check(settings: object) -> None:
    """ManifestError names the first setting that is unknown or beyond its limits."""
    if not isinstance(settings, cbor.Map):
        raise ManifestError("settings must be a map")
    for name, value in settings.pairs:
        if name in _INTEGERS:
            lowest, highest = _INTEGERS[name]
            if not _is_integer(value, lowest, highest):
                raise ManifestError("%s must be an integer from %d to %d" % (name, lowest, highest))
        elif name == "give_up_oldest":
            if not isinstance(value, bool):
                raise ManifestError("give_up_oldest must be true or false")
        elif name == "name":
            if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARACTERS:
                raise ManifestError("name must be text of 1 to %d characters" % MAX_NAME_CHARACTERS)
        elif name == "offsets":
            _check_channels(name, value, _is_channel_number, "a whole number")
        elif name == "alarms":
            _check_channels(name, value, _is_alarm, "[lowest or null, highest or null]")
        else:
            raise ManifestError("there is no setting %s" % str(name)[:MAX_NAME_CHARACTERS])


def measured(name: object) -> bool:
    """Whether this channel gives numbers."""
    return isinstance(name, str) and senml.CHANNELS.get(name, (None, None))[1] is not None


def _check_channels(setting: str, value: object, is_right: "Any", should_be: str) -> None:
    if not isinstance(value, cbor.Map):
        raise ManifestError("%s must be a map of channels" % setting)
    for channel, item in value.pairs:
        if not measured(channel):
            raise ManifestError("%s: no channel %s gives numbers" % (setting, str(channel)[:MAX_NAME_CHARACTERS]))
        if not is_right(item):
            raise ManifestError("%s of %s must be %s of at most %d" % (setting, channel, should_be, MAX_CHANNEL_NUMBER))


def _is_channel_number(value: object) -> bool:
    return _is_integer(value, -MAX_CHANNEL_NUMBER, MAX_CHANNEL_NUMBER)


def _is_alarm(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    if not all(bound is None or _is_channel_number(bound) for bound in value):
        return False
    return value[0] is None or value[1] is None or bool(value[0] < value[1])


def _is_integer(value: object, lowest: int, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


_INTEGERS = {
    "interval_ms": (MIN_INTERVAL_MS, MAX_INTERVAL_MS),
    "batch_readings": (1, MAX_BATCH_READINGS),
    "batch_ms": (0, MAX_BATCH_MS),
}
