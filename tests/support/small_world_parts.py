"""The parts of a small world in memory: a tree, the ledger, gateways and nodes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tallystick_proof import checkpoint, entry, merkle, note, statement, tiles, tlog_proof
from tallystick_proof.entry import GatewayEntry, LedgerEntry
from tallystick_proof.policy import Witnessed
from tallystick_wire import reading, senml
from tallystick_wire.reading import BootRecord, Chain, GapRecord, Reading
from tallystick_wire.senml import Decimal, Record

if TYPE_CHECKING:
    from small_world import World

MINUTE_MS = 60_000
PEN = 32473


class MemoryTree:
    """A tree in a dictionary of tiles."""

    def __init__(self) -> None:
        self.size = 0
        self._tiles: dict[tuple[int, int], bytes] = {}

    def append(self, leaf_hash: bytes) -> int:
        def save(level: int, number: int, data: bytes) -> None:
            self._tiles[level, number] = data

        self.size = tiles.append(self._load, save, self.size, [leaf_hash])
        return self.size - 1

    def tree(self) -> tiles.Tree:
        return tiles.Tree(self._load, self.size)

    def _load(self, level: int, number: int) -> bytes | None:
        return self._tiles.get((level, number))


class Ledger:
    """Entries, and the checkpoints that were published of them."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.entries: list[LedgerEntry] = []
        self.tree = MemoryTree()
        self.published: list[tuple[int, bytes]] = []

    def log(self, kind: int, data: bytes) -> int:
        self.entries.append(LedgerEntry(kind, data))
        return self.tree.append(self.entries[-1].leaf)

    def publish(self, lags_s: Sequence[int] = (0, 1)) -> bytes:
        """A note over everything logged so far; witness n cosigns lags_s[n] seconds later than now."""
        world, origin = self.world, self.world.origin
        text = checkpoint.Checkpoint(origin, self.tree.size, self.tree.tree().root()).text
        lines = [note.sign_note(world.signers["ledger"], origin, text)]
        for witness, lag_s in zip(world.witnesses, lags_s, strict=False):
            name = f"{witness}.example/{world.name}"
            lines.append(checkpoint.cosign(world.signers[witness], name, text, world.now_ms // 1000 + lag_s))
        data = note.format(note.Note(text, lines))
        self.published.append((self.tree.size, data))
        return data

    def first_note(self, index: int) -> bytes:
        return next(data for size, data in self.published if size > index)

    def note_of(self, size: int) -> bytes:
        return next(data for published, data in self.published if published == size)

    def proof(self, index: int) -> bytes:
        """The one proof of an entry: under the first published checkpoint that covers it."""
        data = self.first_note(index)
        size = self.check(data).checkpoint.size
        return tlog_proof.format(index, self.tree.tree().inclusion_proof(index, size), data)

    def check(self, data: bytes) -> Witnessed:
        return self.world.trust.policy.check(data, self.world.origin)


class Gateway:
    """One epoch of one gateway's tree."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.signer = world.signers[name]
        self.entries: list[bytes] = []
        self.tree = MemoryTree()
        self.batches: list[tuple[int, bytes, int]] = []  # (tree size, note, ledger index)
        self.mono_ms = 0

    def take(self, kind: int, body: entry.Body, received_ms: int | None = None) -> int:
        self.mono_ms += 250
        now_ms = self.world.now_ms if received_ms is None else received_ms
        data = GatewayEntry(kind, 1, self.mono_ms, now_ms, entry.CLOCK_NTP, 20, "serial", body).encode()
        self.entries.append(data)
        return self.tree.append(merkle.leaf_hash(data))

    def sync(self) -> int:
        """A checkpoint over everything taken so far, logged in the ledger."""
        origin = checkpoint.gateway_origin(self.world.origin, self.signer.thumbprint, 1)
        text = checkpoint.Checkpoint(origin, self.tree.size, self.tree.tree().root()).text
        data = note.format(note.Note(text, [note.sign_note(self.signer, origin, text)]))
        index = self.world.ledger.log(entry.CHECKPOINT, data)
        self.batches.append((self.tree.size, data, index))
        return index


class Node:
    """Signs readings of a chain."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.signer = world.signers[name]
        self.boot, self.seq, self.uptime_ms = 1, 0, 0
        self.previous = reading.genesis(world.origin, self.signer.public_key)
        self.anchor: tuple[int, bytes, int] | None = None
        self.boot_record: BootRecord | None = BootRecord("power-on", 0, 256, b"firmware", b"config00")
        self.gap: tuple[int, int] | None = None  # what every reading declares as given up
        self.made: dict[int, Reading] = {}

    def hold(self, checkpoint_note: bytes) -> None:
        """An anchor arrived; it goes into the next reading."""
        text = note.parse(checkpoint_note).text
        self.anchor = (checkpoint.parse(text).size, checkpoint.anchor_hash(text), self.uptime_ms)

    def restart(self, lost: int = 0) -> None:
        """A new boot that knows nothing of the last `lost` readings and goes on behind the numbers it had reserved."""
        kept, reserved = self.seq - lost, -(-self.seq // 256) * 256
        self.boot_record = BootRecord("brownout", kept, reserved, b"firmware", b"config00")
        self.previous, self.seq = self.made[kept].link if lost else self.previous, reserved
        self.boot, self.uptime_ms, self.anchor = self.boot + 1, 0, None

    def measure(self, celsius_cents: int = 450, after_ms: int = MINUTE_MS, also: Sequence[Record] = ()) -> Reading:
        self.uptime_ms += after_ms
        self.seq += 1
        records = [
            Record("t", "Cel", Decimal(-2, celsius_cents)),
            Record("h", "%RH", Decimal(0, 60)),
            Record("b", "V", Decimal(-3, 3012)),
            *also,
        ]
        records += self.boot_record.records() if self.boot_record else []
        records += GapRecord(*self.gap).records() if self.gap else []
        payload = senml.encode_pack(senml.base_name(PEN, self.signer.kid), records)
        chain = Chain(self.boot, self.seq, self.uptime_ms, self.previous, self.anchor)
        made = reading.parse(statement.build_reading(self.signer, chain, payload))
        self.previous, self.anchor, self.boot_record = made.link, None, None
        self.made[self.seq] = made
        return made
