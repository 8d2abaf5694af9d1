"""The state of an activated NTAG 424 DNA: who is authenticated, secure messaging, what is selected, what is being read.

Data sheet NT4H2421Gx, 9.1 (AES) and 9.2 (LRP); reading without authentication 9.3.1.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tallystick_emulators.errors import ChipRefusal
from tallystick_emulators.tag_ntag424_crypto import ZERO_IV, AesSession, Session, decrypt, encrypt
from tallystick_emulators.tag_ntag424_eeprom import KEY_BYTES, Eeprom
from tallystick_emulators.tag_ntag424_files import (
    KEYS,
    LENGTH_ERROR,
    LIMITS_READS,
    MIRRORS_COUNTER,
    PERMISSION_DENIED,
    File,
    rendered,
)
from tallystick_emulators.tag_ntag424_lrp import LrpSession

INTEGRITY_ERROR, NO_SUCH_KEY, AUTHENTICATION_ERROR = 0x911E, 0x9140, 0x91AE
PLAIN, MAC, FULL = 0, 1, 3
MAC_BYTES = 8
MAX_COUNTER = 0xFFFF  # commands of one authentication
READ_COUNTER_MAX = 0xFFFFFF
TAMPER_OFF = b"I"

Random = Callable[[int], bytes]


@dataclass
class Authentication:
    """Between its two parts."""

    key_number: int
    first: bool
    random_b: bytes
    ti: bytes
    counter: int
    capabilities: bytes  # PCDcap2 as it was sent, six bytes


class Chip:
    """Volatile but for `eeprom`. `random` is asked for RndB, then TI; for padding of mirrored data; for random IDs."""

    def __init__(self, eeprom: Eeprom, random: Random) -> None:
        self.eeprom, self.random = eeprom, random
        self.loop_open = False
        self.reset()

    def reset(self) -> None:
        """Power came: nothing is selected but the PICC level, nobody is authenticated."""
        self.in_application = False
        self._measures_tamper = self.eeprom.tamper_enabled  # enabled in between, it begins with the next activation
        self._is_first_command = True
        self.selected: File | None = None
        self.frames: list[bytes] = []  # of GetVersion, still to be fetched
        self.authentication: Authentication | None = None
        self._image: tuple[str, int, bytes] | None = None
        self.forget()

    def forget(self) -> None:
        """Not authenticated any more."""
        self.session: Session | None = None
        self.key_number: int | None = None
        self.counter = 0

    def abort(self) -> bool:
        """Give up a command of several parts; True when there was one."""
        ongoing = bool(self.frames) or self.authentication is not None
        self.frames, self.authentication = [], None
        return ongoing

    # --- authentication

    def begin(self, first: bool, data: bytes) -> bytes:
        """Part 1. A tag in AES mode answers a wish for LRP with AES."""
        capabilities = data[2:] if first else b""
        if len(data) != (2 + (data[1] if len(data) > 1 else 0) if first else 1) or len(capabilities) > 6:
            raise ChipRefusal(LENGTH_ERROR)
        number, wants_lrp = data[0], bool(capabilities and capabilities[0] & 2)
        if number >= KEYS or not self.in_application:
            raise ChipRefusal(NO_SUCH_KEY)
        if first and self.eeprom.lrp and not wants_lrp:
            raise ChipRefusal(PERMISSION_DENIED)
        if not first and self.session is None:
            raise ChipRefusal(PERMISSION_DENIED)
        if self.eeprom.counts_failures and self.eeprom.failures[number] >= self.eeprom.failures_limit:
            raise ChipRefusal(PERMISSION_DENIED)
        random_b = self.random(KEY_BYTES)
        ti, counter = (self.random(4), 0) if first else (self.session.ti if self.session else b"", self.counter)
        self.authentication = Authentication(number, first, random_b, ti, counter, capabilities.ljust(6, b"\0"))
        self.forget()
        return b"\x01" + random_b if self.eeprom.lrp else encrypt(self.eeprom.keys[number], ZERO_IV, random_b)

    def finish(self, data: bytes) -> bytes:
        """Part 2: the session, or a failure that is counted against the key."""
        asked, self.authentication = self.authentication, None
        if asked is None or len(data) != 32:
            raise ChipRefusal(LENGTH_ERROR)
        answer = self._finish_lrp(asked, data) if self.eeprom.lrp else self._finish_aes(asked, data)
        failures = self.eeprom.failures
        if answer is None:
            failures[asked.key_number] = min(failures[asked.key_number] + 1, 0xFFFF)
            raise ChipRefusal(AUTHENTICATION_ERROR)
        failures[asked.key_number] = max(failures[asked.key_number] - self.eeprom.failures_decrement, 0)
        self.key_number, self.counter = asked.key_number, asked.counter
        return answer

    def _finish_aes(self, asked: Authentication, data: bytes) -> bytes | None:
        key = self.eeprom.keys[asked.key_number]
        plain = decrypt(key, ZERO_IV, data)
        random_a = plain[:16]
        if plain[16:] != asked.random_b[1:] + asked.random_b[:1]:
            return None
        self.session = AesSession(key, random_a, asked.random_b, asked.ti)
        turned = random_a[1:] + random_a[:1]
        if not asked.first:
            return encrypt(key, ZERO_IV, turned)
        return encrypt(key, ZERO_IV, asked.ti + turned + self._capabilities() + asked.capabilities)

    def _finish_lrp(self, asked: Authentication, data: bytes) -> bytes | None:
        random_a, random_b = data[:16], asked.random_b
        session = LrpSession(self.eeprom.keys[asked.key_number], random_a, random_b, asked.ti)
        if session.whole_mac(random_a + random_b) != data[16:]:
            return None
        self.session = session
        if not asked.first:
            return session.whole_mac(random_b + random_a)
        sealed = session.encrypt_blocks(asked.ti + self._capabilities() + asked.capabilities)
        return sealed + session.whole_mac(random_b + random_a + sealed)

    def _capabilities(self) -> bytes:
        return bytes([2 if self.eeprom.lrp else 0, 0, 0, 0]) + self.eeprom.capabilities

    # --- secure messaging

    def opened(self, code: int, header: bytes, body: bytes, mode: int) -> bytes:
        """The plain data of a command whose `body` follows its header; counts the command."""
        if self.session is None:
            if mode == FULL:
                raise ChipRefusal(AUTHENTICATION_ERROR)
            return body
        if self.counter >= MAX_COUNTER:
            raise ChipRefusal(INTEGRITY_ERROR)
        if mode != PLAIN:
            if len(body) < MAC_BYTES:
                raise ChipRefusal(LENGTH_ERROR)
            body, mac = body[:-MAC_BYTES], body[-MAC_BYTES:]
            if mac != self._mac(code, header + body):
                raise ChipRefusal(INTEGRITY_ERROR)
        if mode == FULL and body:
            plain = self.session.decrypt_command(self.counter, body)
            if plain is None:
                raise ChipRefusal(INTEGRITY_ERROR)
            body = plain
        self.counter += 1
        return body

    def sealed(self, data: bytes, mode: int, status: int = 0x9100) -> bytes:
        """A successful answer's data as it goes out; without a session it is plain."""
        if self.session is None or mode == PLAIN:
            return data
        if mode == FULL and data:
            data = self.session.encrypt_response(self.counter, data)
        return data + self._mac(status & 0xFF, data)

    def _mac(self, code: int, data: bytes) -> bytes:
        if self.session is None:
            raise ChipRefusal(AUTHENTICATION_ERROR)
        return self.session.mac(bytes([code]) + self.counter.to_bytes(2, "little") + self.session.ti + data)

    # --- reading without authentication

    def tamper_status(self) -> bytes:
        """TTPermStatus and TTCurrStatus, measured now."""
        return self.eeprom.measure(self.loop_open) if self._measures_tamper else TAMPER_OFF * 2

    def next_command(self, kind: str) -> None:
        """Any command but the next read of the same kind ends a read in pieces; the first one measures the loop."""
        if self._is_first_command:
            self._is_first_command = False
            self.tamper_status()
        if self._image is not None and self._image[0] != kind:
            self._image = None

    def image(self, kind: str, file: File) -> bytes:
        """The file as an unauthenticated reader sees it now; the same image while it reads on in pieces."""
        if self._image is None or self._image[:2] != (kind, file.number):
            mirroring = file.settings.mirroring
            if mirroring is not None and mirroring.options & MIRRORS_COUNTER:
                limited = bool(mirroring.options & LIMITS_READS)
                if limited and file.counter >= mirroring.offsets["limit"]:
                    raise ChipRefusal(PERMISSION_DENIED)
                if file.counter >= READ_COUNTER_MAX:
                    raise ChipRefusal(INTEGRITY_ERROR)
                file.counter += 1
            eeprom = self.eeprom
            random = self.random(8 + 16) if mirroring is not None else b""
            picture = rendered(file, eeprom.uid, eeprom.keys, eeprom.lrp, random, self.tamper_status())
            self._image = (kind, file.number, picture)
        return self._image[2]

    def file(self, number: int) -> File | None:
        return next((one for one in self.eeprom.files if one.number == number), None)
