"""Recorded sessions with real NTAG 424 DNA chips, and those that NXP printed, replayed on the emulated one: with the
chip's random numbers given, every answer must be the recorded one, byte for byte.

The chips are two of type TagTamper; whoever recorded them published the exchanges in the tests of a free library.
"""

import pytest
from tag_client import APPLICATION, ZERO_KEY, ask, cbc

from tallystick_chips.tag_originality import NXP, Originality
from tallystick_emulators.tag_ntag424 import Ntag424
from tallystick_emulators.tag_ntag424_files import Settings
from tallystick_emulators.tag_ntag424_lrp import LrpSession
from tallystick_emulators.tag_signature import ORIGINALITY_PUBLIC_KEY_424, sign_424

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


FILE_2 = bytes.fromhex("0047D1014355046578616D706C652E636F6D2F3F703D") + b"0" * 32 + b"&c=" + b"0" * 16
FILE_3 = bytes.fromhex("DEADBEEF01020304")
AES_CHIP, LRP_CHIP = bytes.fromhex("04A9707A0B1090"), bytes.fromhex("04407A7A0B1090")
# Everything of one authentication with key 0 and what came after it, in order.
AES_SESSION = [
    ("90600000087EB6309891B11B2400", "0404083000110591AF"),
    ("90AF000000", "0404020102110591AF"),
    ("90AF000000", "04A9707A0B1090CF5D9045104621EB9482FFE8BB77619100"),
    (
        "903C0000090032E6A647B984427F00",
        "C2907EA2100DA5336DDDF17EE7AD70A240915DCD38E6319A663445D69E14825AF42F6AC725487F163ECC696B504F9039"
        "0DF67BC5D8C0DBFCE2158FFB5A2A427AE1E8BDA4D293F5289190",
    ),
    ("9064000009003C1E2F00B5C1C19D00", "00148F7591612FD6889100"),
    ("906400000901FDED11F2EF1B6FAA00", "00B86EA49F47BA32B99100"),
    ("906400000902088D4D4ED349435000", "00076FCC0E2C1FDAC39100"),
    ("9064000009031235FF1B57B7C8B100", "00167A4B7A3AF984C99100"),
    ("90640000090493A9A0FD1274C6E500", "002D70A596A7B0465D9100"),
    ("90F500000902E707ACA86C933B6C00", "0040E0EE000100C1F00016000012000039000012C5522302E3D8249100"),
    ("90AD0000070200000000000000", FILE_2.ljust(256, b"\0").hex().upper() + "9100"),
    ("90F600000902FE69E108B5FEF6B300", "AEB9CDD5ABC5E319009CC0754F771AD9723D70B3DF0BBE409100"),
    ("90F600000902A2DCC158917BED2700", "F94D745DA23CAD20D0F93C583BAF6890F550E645139484039100"),
    ("90F600000902B115DD7321CDC6F300", "6B865F92661A9913AB747C723CCE61F1F48443DC35E400839100"),
    ("90F600000902AE7455ACE3AB8EED00", "DBE717243C7DFE23528C138250B0F473182196E519438B3B9100"),
    ("90F600000902A8E2C7D15D647D9C00", "9DB5CF3A537A80B26115EF9516208F740968AA238D787B339100"),
    ("90770000010300", "C8FC6F266D55CA43D3BBDE4CC8479AC291AF"),
    (
        "90AF000020178277CE5780679662BFFE35E20B15FBBD3A712B9EE7C2438E3440F1122A25E700",
        "602F908162B712B81B73E3060ED8FFBA9100",
    ),
    (
        "90AD00000F03000000000000BBF64ADCF21BC5B900",
        "C294BFF08106E2E92B7CCEE58C68C4D069E4B11F2922619CD15D61FB4169BADC9C0E7FFF3FFE4B3520B903157EED92FE"
        "FA517DC5E3EAAFDE94191DC9536DA8B5DBAEB57AC127D94FD2504FB137C3275B3EACDEC378708A1FC607636AC29F88CC"
        "6E25361BDD3F37733D0215888F91F8DC0C4298476469025C299B0E749A170B3894A0176AE285EEEABE522C834BF41C35"
        "98EFC29F5E3ABF679100",
    ),
    (
        "908D00001F03000000080000AA72F5E4A3E15A325D0D3E03D25850AF583D86603323DBE200",
        "1311AC9B194462369100",
    ),
    ("90AD00000F030000000800008705F20A9AF5957800", "71DAFA7A0012584D37F8C9F3F656738FF345494D0F1148679100"),
]
LRP_SESSION = [
    ("906000000855C76087DF2A8F9000", "0404083000110591AF"),
    ("90AF000000", "0404020102110591AF"),
    ("90AF000000", "04407A7A0B1090CF5D90451046210C084938BB57C2CA9100"),
    (
        "903C000009000C525883EFF7777400",
        "E6DD25572D69A8D89C705AAC541BAD3D6DC5E50FCC8BE583E6487A07AB283F0A8CFD0A5097ACE24DB86C80C6D41A93C3"
        "FE1F1144D8E5D1873E1D50F10362E3F63766345847D342509190",
    ),
    ("9064000009001AA9BAA6BD4D8F9600", "00C7E2A840BB7CE8249100"),
    ("9064000009013117A470DF7784FE00", "0035067A30F54419EF9100"),
    ("9064000009021A2AB847E038F65F00", "003468A518259DD8359100"),
    ("906400000903DD3ADF713F38F1AB00", "00AC6C0AC120C466D09100"),
    ("9064000009042365CB5919E96CAA00", "00BC476B62CB43A81D9100"),
]
LRP_SESSION_AFTER_ONE_MORE = [
    ("90F50000090208182263432A195900", "0000E0EE00010054FC00D5B53F99379100"),
    ("90AD0000070200000000000000", "DEADBEEF".ljust(512, "0") + "9100"),
    ("90F6000009028367BD609AA9550500", "919D"),
]
LRP_KEY_3 = [
    (
        "90AD00000F030000000000004346E1444E7A4B2600",
        "C0D13D2E78879C91D6E52DD735DE47D3E9A5BD06D1D6B43C5992CB65FA9257AB430EC34DB3F380BA58026762AAE1C38A"
        "BED3C6AF50325C18D61F67342B878AF5583F8EFD4293B30BB911BD542AFC92E0D45FF26893282421D5D660EBE8C61C87"
        "D4A2D9EBEDE206D5D93ECCD9687E38CA20CE98AAC748B0927E786134815B7C4984FF3A86083FF52898176CE33AD81DFE"
        "D2D76386A7B2F9B19100",
    ),
    (
        "908D00001F030000000800000CE1C30B270CCA4C1CCAF19A2B76E115D9C09145D6E3B56A00",
        "AA1EC0DD97474DB99100",
    ),
    ("90AD00000F030000000800002086BC2A3CBAB30000", "A8F86E5BE27A1B0BA7D0CEF39092D585F38F94FB3F8275C29100"),
]


def chip(uid: bytes, lrp: bool, numbers: list[bytes], file_2: bytes) -> Ntag424:
    """As those chips were: contents as recorded, keys of the factory, the application selected."""
    tag = Ntag424(uid, tag_tamper=True, random=lambda size: numbers.pop(0))
    eeprom = tag._chip.eeprom
    eeprom.lrp = lrp
    eeprom.files[1].data[: len(file_2)] = file_2
    eeprom.files[2].data[:] = FILE_3.ljust(128, b"\0")
    tag.activate()
    assert ask(tag, APPLICATION) == "9000"
    return tag


def replay(tag: Ntag424, exchanges: list[tuple[str, str]]) -> None:
    for number, (command, answer) in enumerate(exchanges):
        assert ask(tag, command) == answer, f"exchange {number}"


def authentication(name: str) -> list[tuple[str, str]]:
    """The first two exchanges of a handshake from above, with their status words."""
    (first, challenged), (second, answered) = REPLAYS[name][1][:2]
    return [(first, challenged + "91AF"), (second, answered + "9100")]


def test_a_whole_session_in_aes_mode_is_the_recorded_one() -> None:
    handshake = authentication("chip, AES, key 0 then 3")
    numbers = [challenge(handshake[0][1][:-4]), bytes.fromhex("085BC941"), challenge(AES_SESSION[16][1][:-4])]
    tag = chip(AES_CHIP, False, numbers, FILE_2)
    file = tag._chip.eeprom.files[1]
    file.settings = Settings.from_bytes(bytes.fromhex("40E0EE" + "C1F000" + "160000" + "120000" + "390000"))
    file.counter = 12
    replay(tag, handshake + AES_SESSION)
    assert file.counter == 12, "authenticated reads are no taps"


def test_a_whole_session_in_lrp_mode_is_the_recorded_one() -> None:
    handshake = authentication("chip, LRP, key 0")
    tag = chip(LRP_CHIP, True, [challenge(handshake[0][1][:-4]), bytes.fromhex("BBE12900")], bytes.fromhex("DEADBEEF"))
    replay(tag, handshake + LRP_SESSION)
    tag._chip.counter += 1  # a GetCardUID, of which there is no record
    replay(tag, LRP_SESSION_AFTER_ONE_MORE)


def test_reads_and_writes_in_full_lrp_mode_are_the_recorded_ones() -> None:
    """This session's handshake is not recorded, but what it drew is."""
    tag = chip(LRP_CHIP, True, [], b"")
    random_a = bytes.fromhex("8177E38B5CF5969189F929D0BF63B60B")
    random_b = bytes.fromhex("37297005F8AE7E195634AB2C13BE1A8D")
    tag._chip.session = LrpSession(ZERO_KEY, random_a, random_b, bytes.fromhex("AFF75859"))
    tag._chip.key_number = 3
    replay(tag, LRP_KEY_3)


def test_recorded_signatures_are_nxps_and_the_emulators_are_not() -> None:
    for uid in (AES_CHIP, LRP_CHIP):
        assert NXP.signed_424(uid, sign_424(uid))
    other = bytes.fromhex("04A1B2C3D4E5F6")
    assert not NXP.signed_424(other, sign_424(other))
    assert Originality((), (ORIGINALITY_PUBLIC_KEY_424,)).signed_424(other, sign_424(other))
