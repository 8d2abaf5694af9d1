"""Random lives of a node: flash errors before and after the effect, power cuts, deep sleeps, stale memories, late acks.

Whatever happens: no number stands for two readings, what anybody heard arrives or is declared as given up, everything
that arrives links (docs/spec.md 4.3), and a gateway waits for nothing that will never come.
"""

import errno
import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from tallystick_node import app
from tallystick_node.board_memory import MemoryBoard, MemoryRtc, MemoryStorage
from tallystick_node.errors import StorageError
from tallystick_proof import chain
from tallystick_wire import message, reading
from tallystick_wire.reading import Reading
from tallystick_wire.sequence import Seen

ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))
LINK = message.build_link(LINK_KEY, ORIGIN, PEN)
STARTS, CALM_STARTS = 40, 3
LIVES, MANY_LIVES = 12, 300


class Cut(BaseException):
    """The power is gone. No handler of the node may catch this."""


class Flash(MemoryStorage):
    """Fails with these probabilities: before the effect, after it, or with half of what was to be written."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.refuses = self.cuts = 0.0

    def write(self, name: str, pieces: list[bytes]) -> None:
        data = b"".join(pieces)
        half = data[: self._chance.randrange(len(data) + 1)]
        self._do(lambda: self.files.__setitem__(name, data), lambda: self.files.__setitem__(name, half))

    def rename(self, old: str, new: str) -> None:
        self._do(lambda: super(Flash, self).rename(old, new))

    def remove(self, name: str) -> None:
        self._do(lambda: super(Flash, self).remove(name))

    def _do(self, effect: Callable[[], None], torn: Callable[[], None] = lambda: None) -> None:
        for probability, failure in ((self.cuts, Cut()), (self.refuses, OSError(self._word(), "refused"))):
            if self._chance.random() < probability:
                self._chance.choice((lambda: None, torn, effect))()
                raise failure
        effect()

    def _word(self) -> int:
        return self._chance.choice((errno.EIO, errno.ENOSPC))


class World(MemoryBoard):
    """The board, and a gateway that loses, acks late and says old things again; `calm`: both work as they should."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.flash = Flash(self.chance)
        super().__init__(0, self.flash)
        self.interval_ms = 60_000
        self.batch_readings = self.chance.choice((1, 3, 5, 20))
        self.batch_ms = self.chance.choice((0, 120_000, 1_200_000))
        self.segment_limit = self.chance.choice((2, 3, 4, 8))
        self.give_up_oldest = self.chance.random() < 0.7
        self.rtc_memory = MemoryRtc() if self.chance.random() < 0.6 else None
        self.calm = False
        self.readings: dict[int, Reading] = {}
        self.seen = Seen()
        self.wrong: list[str] = []
        self._identities: dict[int, bytes] = {}  # of every number that ever left the node
        self._acks: list[bytes] = []
        self._memories: list[bytes] = []

    def random_bytes(self, count: int) -> bytes:
        return self.chance.randbytes(count)

    def restart(self, error: Exception) -> None:
        raise error

    def reboot(self) -> None:
        self.turns = 0

    def deep_sleep(self, sleep_ms: int) -> None:
        super().deep_sleep(sleep_ms)
        if self.rtc_memory is not None:
            self._memories.append(self.rtc_memory.data)

    def idle(self, wait_ms: int) -> None:
        self.now_ms += max(1, wait_ms) if self.calm else self.chance.choice((1, 100, 1000, 30_000))
        self.hear()

    def hear(self) -> None:
        heard, self.link.sent = self.link.sent, []
        for payload in heard:
            if message.kind(payload) != "reading":
                continue
            one = reading.parse(payload)
            if self._identities.setdefault(one.chain.seq, one.identity) != one.identity:
                self.wrong.append(f"two readings have the number {one.chain.seq}")
            if self.calm or self.chance.random() < 0.8:
                self._take(one)

    def _take(self, one: Reading) -> None:
        self.readings[one.chain.seq] = one
        self.seen.add(one.chain.seq)
        if one.boot_record is not None:
            self.seen.forget(one.boot_record.last_persisted + 1, one.chain.seq - 1)
        if one.gap is not None:
            self.seen.forget(*one.gap)
        if self.calm or self.chance.random() < 0.4:
            self._acks.append(message.build_ack(LINK_KEY, one.kid, one.chain.boot, *self.seen.ack()))
            fresh = self.calm or self.chance.random() < 0.8
            self.link.arriving.append(self._acks[-1] if fresh else self.chance.choice(self._acks))
            if self.chance.random() < 0.2:
                self.link.arriving.append(message.build_anchor(LINK_KEY, one.chain.seq, bytes(16)))

    def start(self) -> None:
        """One more start: out of the last deep sleep, or with power that came back."""
        if self.slept and self.chance.random() < 0.8:
            self.wake(0, self.chance.choice((0, 5, 100)))
        else:
            self.power_cycle()
        if self.rtc_memory is not None and self._memories and self.chance.random() < 0.1:
            self.rtc_memory.data = self.chance.choice(self._memories)  # of some earlier night
        self.slept = []
        self.turns = self.chance.choice((5, 20, 60))
        self.flash.refuses = self.chance.choice((0, 0, 0.02, 0.2, 0.6))
        self.flash.cuts = self.chance.choice((0, 0, 0.01, 0.05))
        self.link.full = self.chance.random() < 0.2
        self.live()

    def calm_down(self) -> None:
        """Nothing fails any more, and everything that waits is delivered."""
        self.calm, self.rtc_memory = True, None
        self.flash.refuses = self.flash.cuts = 0.0
        self.interval_ms, self.batch_ms = 1000, min(self.batch_ms, 20_000)
        for _ in range(CALM_STARTS):
            self.power_cycle(400)
            self.live()

    def live(self) -> None:
        self.link.arriving.append(LINK)
        try:
            app.run(self)
        except (Cut, StorageError):
            self.slept = []
        self.hear()


def complaints(world: World) -> list[str]:
    """Every promise that is broken."""
    wrong = world.wrong
    window = [world.readings[seq] for seq in sorted(world.readings)]
    if not window:
        return [*wrong, "nothing arrived"]
    if len({one.kid for one in window}) > 1:
        wrong.append("the key changed")
    declared = chain.Declared.of(window)
    for earlier, later in pairwise(window):
        if chain.between(Place(earlier), Place(later), declared) is None:
            wrong.append(f"{later.chain.seq} does not follow {earlier.chain.seq}")
        if earlier.chain.boot == later.chain.boot and later.chain.uptime_ms < earlier.chain.uptime_ms:
            wrong.append(f"the uptime falls at {later.chain.seq}")
    for seq in world._identities:
        if seq not in world.readings and not declared.by(seq, seq):
            wrong.append(f"{seq} was sent and is gone")
    if world.seen.missing():
        wrong.append(f"the gateway waits for {world.seen.missing()}")
    return wrong


class Place:
    """chain.Place of a reading."""

    def __init__(self, one: Reading) -> None:
        self.seq, self.boot, self.link = one.chain.seq, one.chain.boot, one.link
        self.previous: bytes | None = one.chain.previous
        self.last_persisted = None if one.boot_record is None else one.boot_record.last_persisted


def live(seed: int) -> list[str]:
    world = World(seed)
    for _ in range(STARTS):
        world.start()
    world.calm_down()
    return complaints(world)


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_life_in_which_everything_fails(seed: int) -> None:
    assert not live(seed)


@pytest.mark.full
def test_many_such_lives() -> None:
    assert not {seed: wrong for seed in range(LIVES, MANY_LIVES) if (wrong := live(seed))}
