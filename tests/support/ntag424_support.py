"""An emulated NTAG 424 and the commands that its tests send it."""

from tag_client import APPLICATION, Ev2, ask

from tallystick_emulators.tag_ntag424 import Ntag424

UID = bytes.fromhex("04A1B2C3D4E5F6")
SELECT_NDEF = "00A4000C02E10400"
SETTINGS = "4000E0" + "C1F1E0"  # mirroring: plain UID and counter, MAC under key 0


def on(tag_tamper: bool = False) -> Ntag424:
    return again(Ntag424(UID, tag_tamper))


def again(tag: Ntag424) -> Ntag424:
    """A fresh activation, the application selected."""
    tag.power_off()
    tag.activate()
    assert ask(tag, APPLICATION) == "9000"
    return tag


def three(*numbers: int) -> bytes:
    return b"".join(one.to_bytes(3, "little") for one in numbers)


def settings(tag: Ntag424, data: str | bytes, file: int = 2) -> str:
    """ChangeFileSettings with key 0 on a fresh activation; the status."""
    plain = bytes.fromhex(data) if isinstance(data, str) else data
    return Ev2(again(tag)).command(0x5F, bytes([file]), plain)[1]


def configure(tag: Ntag424, option: int, data: str) -> str:
    return Ev2(again(tag)).command(0x5C, bytes([option]), bytes.fromhex(data))[1]
