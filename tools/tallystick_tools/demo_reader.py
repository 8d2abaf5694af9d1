"""The demo's tag on its reader."""

import secrets
from pathlib import Path

from tallystick_emulators.tag_field import Field
from tallystick_emulators.tag_ntag424 import Ntag424
from tallystick_emulators.tag_udp import UdpTagServer
from tallystick_tags.key_provider import DerivedKeys


class DemoTag:
    """A tag on a reader, and the folder of its job. The reader is nfcpy's udp link."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.uid = b"\x04" + secrets.token_bytes(6)
        self.server = UdpTagServer(Field(Ntag424(self.uid)))
        self.job, self.master, self.words, self.maker = (folder / name for name in ("job", "master", "words", "maker"))
        self.keys: DerivedKeys | None = None  # opened before the story: a passphrase is slow to try on purpose

    def stop(self) -> None:
        """Take the reader away; safe to call twice."""
        self.server.close()
        if self.keys is not None:
            self.keys.close()
