"""What boards are provisioned with where nothing real hangs on it, in tests and pictures: a site, and the firmware."""

from pathlib import Path

from tallystick_proof import keys, note
from tallystick_provisioning import trust_setup
from tallystick_tools import build_firmware

ORIGIN, PEN, MAX_HEAD_AGE_S = "ledger.example/log", 32473, 86400


def make_site(folder: Path) -> Path:
    """folder/site as `trust init` makes it, for a ledger that nobody serves: enrolments wait in the outbox."""
    ledger = keys.generate(keys.LEDGER, lambda count: bytes(range(count)))
    vkey = folder / "ledger.vkey"
    vkey.write_text(note.VerifierKey(ORIGIN, note.TYPE_ED25519, ledger.public_key).vkey + "\n", "utf-8")
    site = folder / "site"
    trust_setup.carry_out(trust_setup.plan(site, vkey, [], None, PEN, MAX_HEAD_AGE_S))
    return site


def make_firmware(folder: Path) -> Path:
    """folder/x64: the node compiled for this computer, as tools/build-firmware does it for a board."""
    tree = folder / "x64"
    build_firmware.compile_tree("x64", tree, [*build_firmware.everything(), "main.py"])
    return tree
