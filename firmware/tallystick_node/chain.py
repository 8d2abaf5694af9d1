"""The chain of readings of one boot: each names its number, its uptime, and the reading before it."""

import hashlib

from tallystick_node.batch import Measured
from tallystick_node.ed25519 import SigningKey
from tallystick_node.reserve import Reserve
from tallystick_wire import reading, senml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tallystick_wire.reading import Anchor


class Chain:
    """`boot_records` go into the first reading, an accepted anchor into the next one; each once."""

    def __init__(
        self,
        key: SigningKey,
        kid: bytes,
        base_name: str,
        boot: int,
        reserve: Reserve,
        boot_records: "list[senml.Record]",
    ) -> None:
        self._key = key
        self._kid = kid
        self._base_name = base_name
        self._boot = boot
        self._boot_records = boot_records
        self._anchor: "Anchor | None" = None
        self._newest_anchor_size = -1
        self.reserve = reserve

    def accept_anchor(self, size: int, hash16: bytes, uptime_ms: int) -> bool:
        """False when this boot knows a tree of that size or larger: an old anchor says less than the one before."""
        if size <= self._newest_anchor_size:
            return False
        self._newest_anchor_size = size
        self._anchor = (size, hash16, uptime_ms)
        return True

    @property
    def has_booted(self) -> bool:
        """Whether a reading has the boot records."""
        return not self._boot_records

    def sleep(self) -> "list[Any]":
        """What a deep sleep must not forget."""
        anchor = None if self._anchor is None else list(self._anchor)
        return [self.reserve.sleep(), self._newest_anchor_size, anchor]

    def resume(self, saved: "list[Any]") -> None:
        """Wake from a deep sleep: the boot goes on."""
        reserved, self._newest_anchor_size, anchor = saved
        self._anchor = None if anchor is None else (anchor[0], anchor[1], anchor[2])
        self._boot_records = []
        self.reserve.resume(reserved)

    def take(self, uptime_ms: int, records: "list[senml.Record]") -> Measured:
        """Number what was measured. The number must be reserved on flash (reserve.extend)."""
        payload = senml.encode_pack(self._base_name, records + self._boot_records)
        measured = Measured(self.reserve.take(), uptime_ms, self._anchor, payload)
        self._anchor = None
        self._boot_records = []
        return measured

    def add_records(self, measured: Measured, records: "list[senml.Record]") -> None:
        """What the node has to say besides, before it signs; in place of what it said of the same name."""
        if not records:
            return
        names = [record.name for record in records]
        known = [record for record in senml.decode_pack(measured.payload).records if record.name not in names]
        measured.payload = senml.encode_pack(self._base_name, known + records)

    def sign(self, measured: Measured, previous: bytes) -> "tuple[bytes, bytes]":
        """(reading, its link). The same again makes the same bytes, so a write that failed may be tried again."""
        position = reading.Chain(self._boot, measured.seq, measured.uptime_ms, previous, measured.anchor)
        data = reading.build(self._kid, position, measured.payload, self._key.sign)
        # The reading has an empty unprotected header, so its hash is its identity.
        return data, hashlib.sha256(data).digest()[: reading.LINK_BYTES]
