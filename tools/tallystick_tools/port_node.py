"""Runs in MicroPython on the counting port: a whole node with its broker, in whatever heap it was given.

Everything that a board imports; a boot and READINGS readings in batches of twenty. Each is sent twice, because the
gateway acks only what it has heard twice, and twice the connection is lost. Prints bytes of heap after import and at
the end, both without garbage, and the readings that were acked. The gateway lives in the same heap. MicroPython subset.
"""

import gc

from tallystick_tools.port_world import Board, Broker, Silence, install

READINGS = 60
LOST_AT = (25, 50)  # readings that are acked when the connection is lost
LONGEST_LIFE_MS = 6_000_000
LINK_KEY = bytes(32)
ORIGIN, PEN = "ledger.example/cold-store", 32473


def used() -> int:
    gc.collect()
    return int(gc.mem_alloc())  # type: ignore[attr-defined]


class Gateway:
    """Acks what it has heard twice."""

    def __init__(self, kid: bytes) -> None:
        self._kid = kid
        self._heard: set[int] = set()

    def heard(self, payload: bytes) -> "bytes | None":
        from tallystick_wire import message, reading

        seq = reading.parse(payload).chain.seq
        if seq not in self._heard:
            self._heard.add(seq)
            return None
        self._heard = {later for later in self._heard if later > seq}
        return message.build_ack(LINK_KEY, self._kid, 1, seq, [])


def import_all() -> None:
    """What main.py and MachineBoard import where there is a radio."""
    for name in ("loader", "board", "app", "batch", "board_radio", "board_sensors", "clock", "firmware", "link"):
        __import__("tallystick_node." + name)
    from tallystick_node import on_demand

    on_demand.let_go(on_demand.START)


def enrolled(board: Board) -> bytes:
    """Puts a key and an enrolment on the board's flash; the node's kid."""
    from tallystick_node import state
    from tallystick_node.files import Files

    files = Files(board.storage)
    key = state.load_key(files, board.random_bytes)
    state.save_config(files, state.Config(ORIGIN, PEN, LINK_KEY, bytes(32), bytes(32)))
    return state.kid(key.public_key)


def equip(board: Board) -> None:
    """Five channels, a cable and a link to the broker."""
    from tallystick_node.link import StreamLink
    from tallystick_node.mqtt_link import MqttLink
    from tallystick_node.sensor import Channel

    board.channels = [
        Channel("t", lambda: 400 + board.now_ms // 60_000 % 150, -4000, 12500),
        Channel("h", lambda: 60, 0, 100, low_priority=True),
        Channel("p", lambda: 300, -4000, 12500),
        Channel("b", lambda: 3000, 0, 65535, low_priority=True),
        Channel("rs", lambda: -100, -150, -31, low_priority=True),
    ]
    board.cable = StreamLink(Silence(), Silence())  # type: ignore[arg-type]
    board.link = MqttLink("broker.example", 8883, "/ca.crt", board.uptime_ms, board.note)


def live(board: Board, broker: Broker) -> None:
    from tallystick_node import app

    lost_at = list(LOST_AT)

    def goes_on() -> bool:
        if lost_at and board.acks >= lost_at[0]:
            lost_at.pop(0)
            broker.is_lost = True
        return board.acks < READINGS and board.now_ms < LONGEST_LIFE_MS

    board.goes_on = goes_on
    app.run(board)  # type: ignore[arg-type]


def main() -> None:
    gc.threshold(4096)  # type: ignore[attr-defined]  # as main.py does
    broker, board = Broker(), Board()
    install(broker)
    before = used()
    import_all()
    after_import = used() - before
    broker.heard = Gateway(enrolled(board)).heard
    equip(board)
    live(board, broker)
    print(after_import, used(), board.acks)
