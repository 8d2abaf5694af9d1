"""Runs in MicroPython on the counting port: a whole node with its broker, in whatever heap it was given.

    start.py plain|offer|trial

Everything that a board imports; a boot and READINGS readings in batches of twenty. Each is sent twice, because the
gateway acks only what it has heard twice, and twice the connection is lost. `offer`: firmware is offered, the second
batch is signed while it is loaded, and the life ends when it is installed. `trial`: this boot is its trial, and must
confirm it. Prints bytes of heap after import and at the end, both without garbage, and the readings that were acked.
The gateway lives in the same heap; what it sends of an update lies beside the script (node_heap). MicroPython subset.
"""

import gc

import port
from tallystick_tools.port_world import CERTIFICATE, SLOTS, Board, Broker, Silence, install

READINGS = 60
LOST_AT = (25, 50)  # readings that are acked when the connection is lost
OFFER_AT = 15  # readings that are acked
OFFER_AGAIN_MS = 20_000  # when nothing is heard of it
# A chunk takes a second: in the minutes that an update takes a batch must be full, too, and the radio on.
OFFER_INTERVAL_MS, OFFER_LINGER_MS = 5000, 30_000
LONGEST_LIFE_MS = 6_000_000
LINK_KEY = bytes(32)
ORIGIN, PEN = "ledger.example/cold-store", 32473


def used() -> int:
    gc.collect()
    return int(gc.mem_alloc())  # type: ignore[attr-defined]


class Gateway:
    """Acks what it has heard twice; brings what a node wants of an update. `word`: how that ended."""

    def __init__(self, kid: bytes, broker: Broker, board: Board) -> None:
        self._kid = kid
        self._broker = broker
        self._board = board
        self._offered_ms: int | None = None
        self._heard: set[int] = set()
        self.word = ""

    def offer(self) -> None:
        """And again when nothing is heard of it."""
        if self._offered_ms is None or self._board.now_ms - self._offered_ms >= OFFER_AGAIN_MS:
            self._offered_ms = self._board.now_ms
            self._broker.publish(message_of("offer"))

    def heard(self, payload: bytes) -> None:
        from tallystick_wire import cbor, message, reading

        if message.kind(payload) == "want":
            self._offered_ms = self._board.now_ms
            self._broker.publish(message_of(f"want{cbor.decode(payload)[2]}"))
            return
        if message.kind(payload) == "outcome":
            self.word = cbor.decode(payload)[2]
            return
        seq = reading.parse(payload).chain.seq
        if seq not in self._heard:
            self._heard.add(seq)
            return
        self._heard = {later for later in self._heard if later > seq}
        self._broker.publish(message.build_ack(LINK_KEY, self._kid, 1, seq, []))


def message_of(name: str) -> bytes:
    """What a host made (node_heap)."""
    return bytes(port.load(name))  # type: ignore[attr-defined]


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
    state.save_config(files, state.Config(ORIGIN, PEN, LINK_KEY, bytes(32), message_of("key")))
    return state.kid(key.public_key)


def put_on_trial(board: Board) -> None:
    """As the boot before left it, and the loader of this one."""
    from tallystick_node import loader, twin, update_state
    from tallystick_node.files import Files

    twin.Twin(Files(board.storage), "update").save([7, bytes(16), update_state.TRYING, "0"])
    loader.save(SLOTS, loader.FACTORY, "0", loader.TRIED)


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
    board.link = MqttLink("broker.example", 8883, CERTIFICATE, board.uptime_ms, board.note)


def live(board: Board, broker: Broker, gateway: Gateway, is_offered: bool) -> None:
    from tallystick_node import app

    lost_at = [] if is_offered else list(LOST_AT)

    def goes_on() -> bool:
        if lost_at and board.acks >= lost_at[0]:
            lost_at.pop(0)
            broker.is_lost = True
        if is_offered and board.acks >= OFFER_AT:
            gateway.offer()
        return (is_offered or board.acks < READINGS) and board.now_ms < LONGEST_LIFE_MS

    board.goes_on = goes_on
    app.run(board)  # type: ignore[arg-type]


def check(kind: str, word: str) -> None:
    """What must have come of an update."""
    from tallystick_node import loader

    record = loader.load(SLOTS)
    found = word, record.confirmed, record.state
    if found != {"offer": ("loaded", "-", "try"), "trial": ("", "0", "ok")}.get(kind, ("", "-", "ok")):
        raise ValueError(found)


def main(kind: str) -> None:
    gc.threshold(4096)  # type: ignore[attr-defined]  # as main.py does
    broker = Broker()
    install(broker)
    before = used()
    import_all()
    after_import = used() - before
    board = Board()
    gateway = Gateway(enrolled(board), broker, board)
    broker.heard = gateway.heard
    if kind == "trial":
        put_on_trial(board)
    elif kind == "offer":
        board.interval_ms, board.linger_ms = OFFER_INTERVAL_MS, OFFER_LINGER_MS
    equip(board)
    live(board, broker, gateway, kind == "offer")
    check(kind, gateway.word)
    print(after_import, used(), board.acks)
