"""PyPI's pylibsdm, written by others for the real chip, on the emulated NTAG 424 DNA.

It sends ChangeKey for keys 1 to 4 in the form that is right for key 0 only (no exclusive or, no CRC): the chip, and so
the emulator, refuses that with an integrity error.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import ndef  # type: ignore[import-untyped]
import pytest
from nfc.tag.tt4 import Type4TagCommandError  # type: ignore[import-untyped]

from tallystick_emulators.nfcpy_udp import activate, open_reader
from tallystick_emulators.tag_field import Field
from tallystick_emulators.tag_ntag424 import Ntag424
from tallystick_emulators.tag_udp import UdpTagServer

with warnings.catch_warnings():  # it still speaks pydantic 1
    warnings.simplefilter("ignore")
    from pylibsdm.backend.validate import ParamValidator  # type: ignore[import-untyped]
    from pylibsdm.tag import ntag424dna  # type: ignore[import-untyped]

UID = bytes.fromhex("04A1B2C3D4E5F6")


@pytest.fixture
def frontend() -> Iterator[Any]:
    with UdpTagServer(Field(Ntag424(UID))) as server:
        opened = open_reader(server.path)
        yield opened
        opened.close()


def theirs(frontend: Any) -> Any:
    """pylibsdm's tag on a fresh activation."""
    return ntag424dna.Tag(activate(frontend))


def test_pylibsdm_authenticates_with_every_key(frontend: Any) -> None:
    for number in range(5):
        assert theirs(frontend).authenticate_ev2_first(number)
    wrong = theirs(frontend)
    wrong.set_key(2, b"x" * 16)
    with pytest.raises(Type4TagCommandError, match="91ae"):
        wrong.authenticate_ev2_first(2)


def test_pylibsdm_reads_the_settings_of_a_new_tag(frontend: Any) -> None:
    tag = theirs(frontend)
    tag.authenticate_ev2_first(0)
    settings = tag.get_file_settings(2)
    assert settings.file_size == 256
    assert settings.access_rights.to_bytes() == bytes.fromhex("E0EE")
    assert not settings.file_option.sdm_enabled


def test_pylibsdm_changes_key_0_and_not_the_others(frontend: Any) -> None:
    tag = theirs(frontend)
    tag.authenticate_ev2_first(0)
    with pytest.raises(Type4TagCommandError, match="911e"):
        tag.change_key(1, b"1" * 16)
    tag = theirs(frontend)
    tag.authenticate_ev2_first(0)
    assert tag.change_key(0, b"0" * 16)
    again = theirs(frontend)
    again.set_key(0, b"0" * 16)
    assert again.authenticate_ev2_first(0)
    assert theirs(frontend).authenticate_ev2_first(1), "key 1 is what it was"


def test_pylibsdm_turns_mirroring_on_and_its_own_verifier_believes_each_tap(frontend: Any) -> None:
    tag = activate(frontend)
    link = "https://example.com/t?p=" + "0" * 32 + "&c=" + "0" * 16
    tag.ndef.records = [ndef.UriRecord(link)]
    file = bytes.fromhex("0000") + b"".join(ndef.message_encoder([ndef.UriRecord(link)]))
    picc_data, mac = file.index(b"p=") + 2, file.index(b"c=") + 2
    rights = {"read": 0xE, "write": 0, "read_write": 0, "change": 0}
    settings = ntag424dna.FileSettings(
        file_option=ntag424dna.FileOption(sdm_enabled=True, comm_mode=ntag424dna.CommMode.PLAIN),
        access_rights=ntag424dna.AccessRights(**rights),
        sdm_options=ntag424dna.SDMOptions(
            uid=True, read_ctr=True, read_ctr_limit=False, enc_file_data=False, tt_status=False
        ),
        sdm_access_rights=ntag424dna.SDMAccessRights(meta_read=0, file_read=0, ctr_ret=0),
        picc_data_offset=picc_data,
        mac_input_offset=mac,
        mac_offset=mac,
    )
    writer = theirs(frontend)
    writer.authenticate_ev2_first(0)
    writer.change_file_settings(2, settings)
    for counter in (1, 2, 3):
        verifier = ParamValidator(param_picc_data="p", param_cmac="c")
        verifier.parse_ndef(activate(frontend))
        assert verifier.uid == UID
        assert verifier.read_ctr == counter
        assert verifier.cmac_valid
