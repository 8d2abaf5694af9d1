"""What holds in this boot: what the site's configuration says, and where it says nothing, the board's own."""

from tallystick_node import sensor
from tallystick_wire import cbor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick_node.board import Board


class Settings:
    """`told`: the settings of the newest config (wire.settings), empty before the first one."""

    def __init__(self, board: "Board", told: "cbor.Map | None" = None) -> None:
        told = told if told is not None else cbor.Map([])
        self.interval_ms: int = told.get("interval_ms", board.interval_ms)
        self.batch_readings: int = told.get("batch_readings", board.batch_readings)
        self.batch_ms: int = told.get("batch_ms", board.batch_ms)
        self.give_up_oldest: bool = told.get("give_up_oldest", board.give_up_oldest)
        self.name: str = told.get("name", "")
        self.offsets: cbor.Map = told.get("offsets", cbor.Map([]))
        self.alarms: cbor.Map = told.get("alarms", cbor.Map([]))
        offsets = {channel: number for channel, number in self.offsets.pairs}
        alarms = {channel: (low, high) for channel, (low, high) in self.alarms.pairs}
        sensor.configure(board.channels, offsets, alarms)

    def as_map(self) -> cbor.Map:
        """All of it, for the hash in the boot record."""
        return cbor.Map(
            [
                ("interval_ms", self.interval_ms),
                ("batch_readings", self.batch_readings),
                ("batch_ms", self.batch_ms),
                ("give_up_oldest", self.give_up_oldest),
                ("name", self.name),
                ("offsets", self.offsets),
                ("alarms", self.alarms),
            ]
        )
