"""Which reader a person means: `usb`, `tty:AMA0:pn532`, `udp:127.0.0.1:54321`, `pcsc`, `pcsc:ACS`."""

from tallystick_provisioning import nfc
from tallystick_provisioning.errors import ReaderLost


def open_reader(path: str) -> nfc.Reader:
    """The reader at `path`; ReaderLost when there is none. The backend is imported only when it is asked for."""
    head, _, rest = path.partition(":")
    if head == "pcsc":
        from tallystick_provisioning.nfc_pcsc import PcscReader

        return PcscReader(rest or None)
    if head in ("usb", "tty", "udp", "com"):
        try:
            from tallystick_provisioning.nfc_nfcpy import NfcpyReader
        except ImportError as error:
            raise ReaderLost(f"{path} needs nfcpy ({error}): pip install 'tallystick[provisioning]'") from None
        return NfcpyReader(path)
    raise ReaderLost(f"{path!r}: a reader is usb, tty:PORT:DRIVER, udp:HOST:PORT or pcsc[:NAME]")
