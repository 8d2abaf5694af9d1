"""The NFC seam on emulated tags, in this process: what storms and tests use, thousands of activations a second."""

from tallystick_provisioning.errors import ReaderLost, TagLost, TagTimeout, TwoTags
from tallystick_provisioning.nfc import COMMAND_TIMEOUT_S, SENSE_TIMEOUT_S, Family
from tallystick_tools.errors import FieldCollision, FieldLost, ReaderGone
from tallystick_tools.tag_field import EmulatedTag, Field


class EmulatedReader:
    """A `tallystick_provisioning.nfc.Reader`. Making one plugs the reader in again; it never waits.

