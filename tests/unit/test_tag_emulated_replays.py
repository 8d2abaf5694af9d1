"""Recorded handshakes with real NTAG 424 DNA chips, and those that NXP printed, replayed on the emulated one: with the
chip's random numbers given, every answer must be the recorded one, byte for byte."""

import pytest
from tag_client import APPLICATION, ZERO_KEY, ask, cbc

from tallystick_tools.tag_ntag424 import Ntag424

# What the chip drew (TI), and then the commands with their answers. RndB is in the first answer: encrypted in AES
# mode, as it is behind "01" in LRP mode.
REPLAYS = {
    "AN12196, AES, key 0 twice": (
        "9D00C4DF",
        [
            ("9071000005000300000000", "A04C124213C186F22399D33AC2A30215"),
            (
                "90AF00002035C3E05A752E0144BAC0DE51C1F22C56B34408A23D8AEA266CAB947EA8E0118D00",
                "3FA64DB5446D1F34CD6EA311167F5E4985B89690C04A05F17FA7AB2F08120663",
            ),
            ("90770000010000", "A6A2B3C572D06C097BB8DB70463E22DC"),
            (
                "90AF000020BE7D45753F2CAB85F34BC60CE58B940763FE969658A532DF6D95EA2773F6E99100",
                "B888349C24B315EAB5B589E279C8263E",
            ),
        ],
    ),
    "chip, AES, key 0": (
        "704B5F99",
        [
            ("9071000005000300000000", "457B8458856FA7D114513E5A65A37405"),
            (
                "90AF000020BD8315EF8B1AFF79FB51287D1E93DCE49EE4EC2EEFD5285A499B9EDC5921992200",
                "94A3D20D1035D7FF691B611360578F7765EC56EC456739A4533FDBA50F9CDFBB",
            ),
        ],
    ),
    "chip, AES, key 0 then 3": (
        "085BC941",
        [
            ("9071000005000300000000", "7858A0B9DBC468F0FF1B2F773D6DF9FC"),
            (
                "90AF0000203017D88B23577ECA67A58D82E1AA4CFC1F89142CE070FFBF4593D09DAEFEE96F00",
                "973A3FCE138BAF3AE755BE492EF9C677913E4C5AF1A9D48B7149BF6C7E2804CC",
            ),
            ("90770000010300", "C8FC6F266D55CA43D3BBDE4CC8479AC2"),
            (
                "90AF000020178277CE5780679662BFFE35E20B15FBBD3A712B9EE7C2438E3440F1122A25E700",
                "602F908162B712B81B73E3060ED8FFBA",
            ),
        ],
    ),
    "AN12321, LRP, key 3": (
        "58EE9424",
        [
            ("9071000008030602000000000000", "0156109A31977C855319CD4618C9D2AED2"),
            (
                "90AF00002074D7DF6A2CEC0B72B412DE0D2B1117E6189B59DCEDC31A3D3F38EF8D4810B3B400",
                "F4FC209D9D60623588B299FA5D6B2D710125F8547D9FB8D572C90D2C2A14E235",
            ),
        ],
    ),
    "chip, LRP, key 0 twice": (
        "9D96C13C",
        [
            ("9071000008000602000000000000", "01B40643A537D6B0ACD8E7816168CD85C1"),
            (
                "90AF000020D1D85ACB0A57299BFEED443D832DAD0C23A13B80F26E481E4FAD3F3D75B14B7B00",
                "1C8EE9654067C50B188BD7652CEA8ABF4DCAF2776C80ABACEC992D6DF2D6E4EE",
            ),
            ("90770000010000", "016819838A1BFA254A00E1F43DEC0BC0C7"),
            (
                "90AF00002024F37E0C719E5CA42A3CBFAC3F7C0106FB57806564FCD46D58685C08419825E200",
                "3C157B2F2A8CC0C9431E64CCF71DD8B4",
            ),
        ],
    ),
    "chip, LRP, key 0": (
        "BBE12900",
        [
            ("9071000008000602000000000000", "0157E5BF7AF415C4C8B330442EC1F265E9"),
            (
                "90AF0000200272F1390C4B8EC7D3E43308D4B41EC31D39E0458CDF88946C387BAA0FF2023100",
                "D2A195966F9C96C2C15DBED1ACF4F593475EE49283E5DD06ACB72D9FD0C099B4",
            ),
        ],
    ),
}


def challenge(answer: str) -> bytes:
    """RndB of a first answer."""
    data = bytes.fromhex(answer)
    plain: bytes = data[1:] if len(data) == 17 else cbc(ZERO_KEY).decrypt(data)
    return plain


@pytest.mark.parametrize("name", REPLAYS)
def test_each_answer_of_a_handshake_is_the_recorded_one(name: str) -> None:
    ti, exchanges = REPLAYS[name]
    drawn = [challenge(answer) for _, answer in exchanges[::2]]
    drawn.insert(1, bytes.fromhex(ti))  # the chip draws it with its first challenge
    tag = Ntag424(bytes.fromhex("04A1B2C3D4E5F6"), random=lambda size: drawn.pop(0))
    tag._chip.eeprom.lrp = "LRP" in name
    tag.activate()
    assert ask(tag, APPLICATION) == "9000"
    for number, (command, answer) in enumerate(exchanges):
        assert ask(tag, command) == answer + ("9100" if number % 2 else "91AF")
    assert not drawn


@pytest.mark.parametrize("name", REPLAYS)
def test_one_other_bit_in_the_proof_is_91ae(name: str) -> None:
    ti, exchanges = REPLAYS[name]
    drawn = [challenge(exchanges[0][1]), bytes.fromhex(ti)]
    tag = Ntag424(bytes.fromhex("04A1B2C3D4E5F6"), random=lambda size: drawn.pop(0))
    tag._chip.eeprom.lrp = "LRP" in name
    tag.activate()
    ask(tag, APPLICATION)
    ask(tag, exchanges[0][0])
    proof = bytearray.fromhex(exchanges[1][0])
    proof[-2] ^= 1
    assert ask(tag, bytes(proof)) == "91AE"
