"""The NFC seam on emulated tags, in this process: what storms and tests use, thousands of activations a second."""

from tallystick_emulators.errors import FieldCollision, FieldLost, ReaderGone
from tallystick_emulators.tag_field import EmulatedTag, Field
from tallystick_provisioning.errors import ReaderLost, TagLost, TagTimeout, TwoTags
from tallystick_provisioning.nfc import COMMAND_TIMEOUT_S, SENSE_TIMEOUT_S, Family


class EmulatedReader:
    """A `tallystick_provisioning.nfc.Reader`. Making one plugs the reader in again; it never waits."""

    name = "emulated reader"

    def __init__(self, field: Field) -> None:
        self._field = field
        self.activations = 0  # of this reader: a contact of an earlier one is void
        field.reconnect()

    def sense(self, timeout_s: float = SENSE_TIMEOUT_S) -> "EmulatedContact | None":
        """The tag on the antenna, freshly activated; None at once when there is none."""
        self.activations += 1
        try:
            tag = self._field.activate()
        except FieldCollision as error:
            raise TwoTags(str(error)) from None
        except ReaderGone as error:
            raise ReaderLost(str(error)) from None
        return None if tag is None else EmulatedContact(self, self._field, tag)

    def close(self) -> None:
        """Field off."""
        self.activations += 1
        self._field.deactivate()


class EmulatedContact:
    """A `tallystick_provisioning.nfc.Tag`: one activation."""

    def __init__(self, reader: EmulatedReader, field: Field, tag: EmulatedTag) -> None:
        self._reader, self._field = reader, field
        self._activation = reader.activations
        self.uid = tag.presented_uid
        self.family: Family = tag.family

    def transceive(self, command: bytes, timeout_s: float = COMMAND_TIMEOUT_S) -> bytes:
        """The answer; TagLost, TagTimeout or ReaderLost, at once, when there is none."""
        if self._activation != self._reader.activations:
            raise TagLost("the reader has sensed again since")
        try:
            answer = self._field.exchange(command)
        except FieldLost as error:
            raise TagLost(str(error)) from None
        except ReaderGone as error:
            raise ReaderLost(str(error)) from None
        if answer is None:
            raise TagTimeout("the tag did not answer")
        return answer
