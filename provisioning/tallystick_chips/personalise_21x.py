"""The work on an NTAG213, NTAG215 or NTAG216. Whoever can read such a tag can make another: its record says copyable.

Order of a writing: link, access, password, PACK, and the page with AUTH0 last: until then nothing asks for a password,
afterwards ours opens the tag. So wherever the power fails, no password or ours lets us in.
"""

from dataclasses import dataclass

from tallystick_chips import ntag21x, tag_link
from tallystick_chips.errors import TagRefused
from tallystick_chips.ntag21x import (
    CONTAINER_PAGE,
    FACTORY_ACCESS,
    FACTORY_CONFIG,
    FACTORY_PACK,
    FACTORY_PASSWORD,
    FIRST_PAGE,
    LOCK_PAGE,
    PACK_BYTES,
    PAGE_BYTES,
    PASSWORD_BYTES,
    READ_ONLY,
    READ_PAGES,
    Layout,
    Ntag21x,
)
from tallystick_chips.personalise_work import Bench, Tapped, foreign, locked, not_ours, unsigned
from tallystick_chips.tag_journal import History
from tallystick_chips.tag_link import Link, Read
from tallystick_chips.tag_order import FACTORY_VERSION, KEY_BYTES, PASSWORD_KEY, RETIRED_VERSION
from tallystick_provisioning.errors import TagStatusError

_ALL_STATIC = b"\xff\xff"  # every lock bit, and the bits that block them
_EMPTY = bytes.fromhex("0300FE00")


@dataclass(frozen=True, slots=True)
class Found:
    """How a tag is when we come to it: everything but its link, in two reads."""

    static_locks: bytes
    container: bytes
    dynamic_locks: bytes
    config: bytes
    access: bytes

    @property
    def is_locked(self) -> bool:
        """Whether any lock bit is set, or the settings are locked."""
        return any(self.static_locks) or any(self.dynamic_locks) or ntag21x.is_config_locked(self.access)


class Work21x:
    """A Work."""

    def __init__(self, tag: Ntag21x, bench: Bench, layout: Layout) -> None:
        self.bench, self.chip = bench, layout.chip
        self._tag, self._layout = tag, layout
        self._found: Found | None = None

    def check_signature(self) -> None:
        if not self.bench.originality.signed_21x(self.bench.uid, self._tag.signature()):
            raise unsigned()

    def check_factory(self, every_key: bool = False) -> None:
        found = self._look()
        if found.is_locked:
            raise locked()
        if found.container != self._layout.container:
            raise TagRefused(
                "container", "the tag's capability container is not as the factory wrote it", "take another tag"
            )
        if ntag21x.is_protected(found.config, self._layout):
            raise foreign()

    def make_ours(self, link: Link, history: History) -> None:
        self._refuse_locked()
        self._open()
        self.bench.tell("write")
        pages = ntag21x.data_pages(self._layout, link.message)
        # Backwards: the length in the first page comes last, so a phone never follows half a link.
        for number in reversed(range(len(pages))):
            self._tag.write(FIRST_PAGE + number, pages[number])
        # A crash here: a link that no password protects yet.
        self.bench.tell("keys")
        self.bench.change(PASSWORD_KEY, FACTORY_VERSION, self.bench.ring.version)
        self._write_password(*self._password())
        if self._tag.authenticate(self._password()[0]) != self._password()[1]:
            raise not_ours("PACK was not taken")
        self.bench.tell("settings")
        self._tag.write(self._layout.config + 1, ntag21x.access_page(FACTORY_ACCESS, locked=False))
        self.bench.journal.append(self.bench.uid, "protect")
        self._tag.write(self._layout.config, self._config_page(link))
        # A crash here or before: open, or opened by our password; resume finishes and recover goes back.

    def make_factory(self, link: Link, history: History) -> None:
        self._refuse_locked()
        self._open()
        self.bench.tell("settings")
        self._tag.write(self._layout.config, FACTORY_CONFIG)
        # A crash here: the password is ours still, and nothing asks for it.
        self._tag.write(self._layout.config + 1, FACTORY_ACCESS)
        self.bench.tell("keys")
        self.bench.change(PASSWORD_KEY, self.bench.ring.version, FACTORY_VERSION)
        self._write_password(FACTORY_PASSWORD, FACTORY_PACK)
        self._write_all(self._layout.first_pages, len(ntag21x.data_pages(self._layout, link.message)))

    def lock(self, link: Link, history: History) -> None:
        self.bench.tell("lock")
        self._open()
        found = self._look()
        is_done = found.static_locks == _ALL_STATIC
        if not is_done:
            self._tag.write(CONTAINER_PAGE, bytes([0, 0, 0, READ_ONLY]))
        self._tag.write(self._layout.dynamic_locks, self._layout.lock_bytes + b"\0")
        if not ntag21x.is_config_locked(found.access):
            self._tag.write(self._layout.config + 1, ntag21x.access_page(FACTORY_ACCESS, locked=True))
        # The static lock bits go last: they freeze the container, and an unfinished lock is seen by them.
        if not is_done:
            self._tag.write(LOCK_PAGE, b"\0\0" + _ALL_STATIC)

    def retire(self, link: Link, history: History) -> str:
        if self._look().is_locked:
            return "it is locked, so its link stays readable: destroy it"
        if RETIRED_VERSION in history.keys.get(PASSWORD_KEY, set()) and not self._opens():
            return "its password is gone"  # an earlier run got that far
        self._open()
        self._tag.write(self._layout.config, bytes([FACTORY_CONFIG[0], 0, 0, LOCK_PAGE]))
        self._write_all(self._layout.head + _EMPTY, len(ntag21x.data_pages(self._layout, link.message)))
        self.bench.change(PASSWORD_KEY, self.bench.ring.version, RETIRED_VERSION)
        unknown = self.bench.random_bytes(KEY_BYTES)
        self._write_password(unknown[:PASSWORD_BYTES], unknown[PASSWORD_BYTES:][:PACK_BYTES])
        return "it is empty"

    def read(self) -> Read:
        """Only the pages up to the end of the message, as a phone does."""
        data = self._tag.read(FIRST_PAGE)
        pages = -(-_message_end(self._layout, data) // PAGE_BYTES)
        if pages > READ_PAGES:
            data += self._tag.read(FIRST_PAGE + READ_PAGES, pages - READ_PAGES)
        return tag_link.read_message(ntag21x.message_of(self._layout, data))

    def check_link(self, read: Read) -> Tapped:
        uid, mark, counter = (read.mirror or "").partition("x")
        if uid != self.bench.uid.hex().upper() or not mark or len(counter) != 6:
            raise not_ours("its link does not mirror its own UID and counter")
        return Tapped(read.url, int(counter, 16))

    def check_all(self, link: Link, history: History, is_locked: bool) -> None:
        found = self._look()
        if found.config != self._config_page(link):
            raise not_ours("mirror or protection differ")
        if found.access != ntag21x.access_page(FACTORY_ACCESS, locked=is_locked):
            raise not_ours("its access page differs")
        if is_locked and not self._is_wholly_locked(found):
            raise not_ours("not every lock is set")
        if not is_locked and found.is_locked:
            raise not_ours("it has locks that we did not set")
        try:
            pack = self._tag.authenticate(self._password()[0])
        except TagStatusError:
            raise not_ours("the password is another one") from None
        if pack != self._password()[1]:
            raise not_ours("PACK is another one")

    # --- parts

    def _password(self) -> tuple[bytes, bytes]:
        key = self.bench.ring.keys[PASSWORD_KEY]
        return key[:PASSWORD_BYTES], key[PASSWORD_BYTES:][:PACK_BYTES]

    def _write_password(self, password: bytes, pack: bytes) -> None:
        self._tag.write(self._layout.config + 2, password)
        self._tag.write(self._layout.config + 3, pack + bytes(PAGE_BYTES - PACK_BYTES))

    def _write_all(self, first: bytes, pages: int) -> None:
        """The first bytes, and zeros to the end of what a link took."""
        text = first.ljust(max(pages, 2) * PAGE_BYTES, b"\0")
        for number in reversed(range(len(text) // PAGE_BYTES)):
            self._tag.write(FIRST_PAGE + number, text[number * PAGE_BYTES :][:PAGE_BYTES])

    def _look(self) -> Found:
        """Once in an activation."""
        if self._found is None:
            head = self._tag.read(0)
            tail = self._tag.read(self._layout.dynamic_locks)
            pages = [tail[at : at + PAGE_BYTES] for at in range(0, len(tail), PAGE_BYTES)]
            self._found = Found(
                head[LOCK_PAGE * PAGE_BYTES + 2 :][:2],
                head[CONTAINER_PAGE * PAGE_BYTES :],
                pages[0][: len(self._layout.lock_bytes)],
                pages[1],
                pages[2],
            )
        return self._found

    def _open(self) -> None:
        """Be allowed to write: with our password where one is asked for."""
        if not self._opens():
            raise foreign()

    def _opens(self) -> bool:
        if not ntag21x.is_protected(self._look().config, self._layout):
            return True
        try:
            return self._tag.authenticate(self._password()[0]) == self._password()[1]
        except TagStatusError:
            return False

    def _config_page(self, link: Link) -> bytes:
        return ntag21x.config_page(ntag21x.message_start(self._layout, link.message) + link.mirror)

    def _is_wholly_locked(self, found: Found) -> bool:
        container = self._layout.container[:-1] + bytes([READ_ONLY])
        expected = (_ALL_STATIC, self._layout.lock_bytes, container)
        return (found.static_locks, found.dynamic_locks, found.container) == expected

    def _refuse_locked(self) -> None:
        if self._look().is_locked:
            raise locked()


def _message_end(layout: Layout, head: bytes) -> int:
    """How many bytes of the user memory hold the NDEF TLV that begins in `head`; all of it when that is unclear."""
    at = len(layout.head) if head.startswith(layout.head) else 0
    if head[at] != 0x03:
        return layout.data_bytes
    length, width = (int.from_bytes(head[at + 2 : at + 4], "big"), 4) if head[at + 1] == 0xFF else (head[at + 1], 2)
    return min(at + width + length, layout.data_bytes)
