"""Updates on the host's side: signing them, choosing them, and talking a node through them."""

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from update_support import (
    CHANCE,
    DOWNLINK,
    FIRMWARE,
    LINK_KEY,
    ORIGIN,
    config,
    firmware,
    order,
    small_image,
)

from tallystick_fleet import update_commands, update_manifest
from tallystick_fleet.update_commands import SignOptions
from tallystick_fleet.update_node import push
from tallystick_proof import keys
from tallystick_proof.errors import KeyFormatError
from tallystick_provisioning import key_file, offer_files, offers, update_keys
from tallystick_provisioning.errors import FileError, NodeRefused, OfferError, SetupError, StatementFileError
from tallystick_provisioning.offers import Offer, Talk
from tallystick_tools.practice_site import make_site
from tallystick_wire import image, message, transfer

KID = bytes(range(8))


# ---- signing


def test_settings_are_told_in_the_channels_own_units() -> None:
    told = update_manifest.settings_of(
        'interval_ms = 60000\nname = "cold room 2"\ngive_up_oldest = true\n'
        "[offsets]\nt = -0.25\nh = 2\n[alarms]\nt = { lowest = 0, highest = 8 }\nb = { lowest = 3.1 }\n"
    )
    assert dict(told.pairs[:3]) == {"interval_ms": 60000, "name": "cold room 2", "give_up_oldest": True}
    assert told["offsets"].pairs == [("t", -25), ("h", 2)]
    assert told["alarms"].pairs == [("t", [0, 800]), ("b", [3100, None])]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("interval_ms =", "not TOML"),
        ("interval = 5", "there is no setting interval"),
        ("interval_ms = 5", "interval_ms must be an integer from 1000"),
        ("[offsets]\nt = 0.001", "offsets.t: 0.001 Cel is finer than the channel tells"),
        ("[offsets]\nt = nan", "finer than the channel tells"),
        ('[offsets]\nt = "1"', "offsets.t: must be a number in Cel"),
        ("[offsets]\nd = 1", "no channel 'd' gives numbers"),
        ("offsets = 5", "offsets: must be a table"),
        ("[alarms]\nt = 5", "alarms.t: must be a table"),
        ("[alarms]\nt = { low = 5 }", "alarms.t: must be a table"),
        ("[alarms]\nt = { lowest = 5, highest = 5 }", "alarms of t must be"),
    ],
)
def test_settings_that_no_node_takes(text: str, complaint: str) -> None:
    with pytest.raises(StatementFileError, match=complaint):
        update_manifest.settings_of(text)


def test_the_wrong_key_signs_nothing() -> None:
    with pytest.raises(KeyFormatError, match="may not sign"):
        update_manifest.config(FIRMWARE, order(), "", CHANCE.randbytes)
    with pytest.raises(KeyFormatError, match="may not sign"):
        update_manifest.firmware(DOWNLINK, order(), small_image(), CHANCE.randbytes)


def test_an_image_says_for_which_board_it_is() -> None:
    assert firmware(small_image()).manifest.board == "mpy6.3-x64"
    with pytest.raises(StatementFileError, match=r"for the board mpy6\.3-x64, not esp32"):
        firmware(small_image(), board="esp32-ota")
    with pytest.raises(StatementFileError, match="name the board"):
        firmware(b"\xe9 an application")
    assert firmware(b"\xe9 an application", board="esp32-ota").manifest.board == "esp32-ota"


# ---- choosing


def test_a_node_gets_the_newest_of_each_kind_that_is_for_it() -> None:
    x64, pico = small_image(), small_image(board="mpy6.3-armv6m")
    old, new, own = config(ordered=order(1)), config(ordered=order(3)), config(ordered=order(2, target=KID))
    other, elsewhere = config(ordered=order(9, target=bytes(8))), config(ordered=order(9, origin="other/log"))
    first, second = firmware(x64, order(4)), firmware(pico, order(2))
    found = [old, other, first, elsewhere, new, own, second]
    for _ in range(5):
        random.Random(1).shuffle(found)
        assert offers.for_node(found, ORIGIN, KID) == [new, second, first]
    assert offers.for_node([old, own], ORIGIN, KID) == [own]
    assert offers.for_node([old, own], ORIGIN, bytes(8)) == [old]
    assert offers.for_node([], ORIGIN, KID) == []


def test_offers_that_are_none() -> None:
    one = firmware(small_image())
    assert offers.offer(one.data, [b"other", small_image()]).hashes == one.hashes
    with pytest.raises(OfferError, match="is not here"):
        offers.offer(one.data, [b"other"])
    with pytest.raises(OfferError, match="manifest"):
        offers.offer(b"junk")


def test_a_folder_of_offers(tmp_path: Path) -> None:
    assert offer_files.read_folder(tmp_path / "none") == ([], [])
    one, two = config(), firmware(small_image())
    (tmp_path / "a.offer").write_bytes(one.data)
    (tmp_path / "b.offer").write_bytes(two.data)
    (tmp_path / "c.offer").write_bytes(b"junk")
    (tmp_path / "notes.txt").write_bytes(b"not ours")
    good, wrong = offer_files.read_folder(tmp_path)
    assert [found.data for found in good] == [one.data]
    assert [text.partition(": ")[0] for text in wrong] == [str(tmp_path / "b.offer"), str(tmp_path / "c.offer")]
    (tmp_path / "any name.image").write_bytes(small_image())
    assert [found.data for found in offer_files.read_folder(tmp_path)[0]] == [one.data, two.data]
    with pytest.raises(FileError, match=r"none\.offer"):
        offer_files.read(tmp_path / "none.offer")
    with pytest.raises(OfferError, match=r"b\.offer: the image .* is not here"):
        offer_files.read(tmp_path / "b.offer", tmp_path / "a.offer")


# ---- talking


def outcome(one: Offer, word: str) -> bytes:
    return transfer.build_outcome(one.manifest.identity, word)


def test_a_silent_node_is_asked_less_and_less() -> None:
    talk, asked_s = Talk(LINK_KEY, [config()]), []
    for second in range(2000):
        if talk.due(5, second):
            asked_s.append(second)
    pauses = [after - before for before, after in pairwise(asked_s)]
    assert pauses[:4] == [5, 10, 20, 40]
    assert max(pauses) == offers.LONGEST_PAUSE_S == pauses[-1]


def test_each_want_gets_its_piece_and_only_for_what_was_offered() -> None:
    one = firmware(small_image())
    talk = Talk(LINK_KEY, [one])
    question = talk.due(5, 0)
    assert question == transfer.build_offer(LINK_KEY, 5, one.data)
    for index in (-1, 0, 3):
        answer = talk.hear(transfer.build_want(one.manifest.identity, index), 1)
        assert answer is not None
        assert transfer.open_chunk(answer) == (one.manifest.identity, index, one.piece(index))
    assert talk.sent == 3
    for index in (-2, one.manifest.chunk_count):
        assert talk.hear(transfer.build_want(one.manifest.identity, index), 1) is None
    assert talk.hear(transfer.build_want(bytes(16), 0), 1) is None
    assert talk.hear(outcome(config(), "kept"), 1) is None
    for noise in (b"", b"\xd2", message.build_hello(), message.build_identify()):
        assert talk.hear(noise, 1) is None
    assert (talk.sent, talk.outcomes, talk.is_over) == (3, {}, False)


def test_a_chunk_that_was_lost_is_offered_again_soon() -> None:
    one = firmware(small_image())
    talk = Talk(LINK_KEY, [one])
    talk.due(5, 0)
    talk.hear(transfer.build_want(one.manifest.identity, 0), 100)
    assert talk.due(5, 100 + offers.ANSWER_S - 0.1) is None
    assert talk.due(5, 100 + offers.ANSWER_S) is not None


def test_what_was_taken_is_asked_after_and_what_was_refused_is_not() -> None:
    first, second = config(), firmware(small_image())
    talk = Talk(LINK_KEY, [first, second])
    assert talk.due(5, 0) == transfer.build_offer(LINK_KEY, 5, first.data)
    talk.hear(outcome(first, transfer.KEPT), 1)
    assert talk.due(5, 2) is None, "it reboots now"
    assert talk.due(5, 1 + offers.LOOK_AGAIN_S) == transfer.build_offer(LINK_KEY, 5, first.data)
    talk.hear(outcome(first, transfer.CURRENT), 70)
    assert talk.due(5, 70) == transfer.build_offer(LINK_KEY, 5, second.data), "its turn at once"
    talk.hear(outcome(second, "updates_wrong_board"), 71)
    assert talk.is_over
    assert talk.due(5, 1e9) is None
    assert talk.outcomes == {
        first.manifest.identity: transfer.CURRENT,
        second.manifest.identity: "updates_wrong_board",
    }


# ---- pushing


class FakeCable:
    """A node that answers as it is told; its clock runs with every receive."""

    def __init__(self, answer: Callable[[bytes], bytes | None], origin: str | None = ORIGIN) -> None:
        self.public_key = keys.Signer(keys.NODE, bytes(32)).public_key
        self.now_s = 0.0
        self._answer, self._origin = answer, origin
        self._answers: list[bytes] = []

    def send(self, payload: bytes) -> bool:
        if message.kind(payload) == "hello":
            state = message.STATE_NEW if self._origin is None else message.STATE_ENROLLED
            answer: bytes | None = message.build_node(state, self.public_key, self._origin, bytes(8))
        else:
            answer = self._answer(payload)
        self._answers += [] if answer is None else [answer]
        return True

    def receive(self) -> list[bytes]:
        self.now_s += 1.0
        heard, self._answers = self._answers, []
        return heard

    def clock(self) -> float:
        return self.now_s


def test_push_says_how_it_ended() -> None:
    one = firmware(small_image())
    wants = [-1, *range(one.manifest.chunk_count)]

    def node(payload: bytes) -> bytes:
        if not wants:
            return outcome(one, transfer.LOADED)
        return transfer.build_want(one.manifest.identity, wants.pop(0))

    seen: list[tuple[int, int]] = []
    cable = FakeCable(node)
    pushed = push(cable, one, bytes(32), lambda *step: seen.append(step), monotonic=cable.clock)
    assert (pushed.word, pushed.is_good, pushed.pieces) == (transfer.LOADED, True, one.manifest.chunk_count + 1)
    assert pushed.kid == keys.kid(cable.public_key)
    assert seen[-1] == (one.manifest.chunk_count - 1, one.manifest.chunk_count)
    refused = FakeCable(lambda _: outcome(one, "updates_old"))
    assert not push(refused, one, bytes(32), monotonic=refused.clock).is_good


def test_push_to_nobody() -> None:
    silent = FakeCable(lambda _: None)
    with pytest.raises(NodeRefused, match="silent for 60 s; what it has it keeps"):
        push(silent, config(), bytes(32), monotonic=silent.clock)
    new = FakeCable(lambda _: None, origin=None)
    with pytest.raises(NodeRefused, match="not enrolled"):
        push(new, config(), bytes(32), monotonic=new.clock)


# ---- keys and commands


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(tmp_path_factory.mktemp("site"))


def test_trust_init_makes_the_two_keys(site: Path) -> None:
    made = update_keys.beside(site / "site.key")
    assert made.downlink == key_file.load(site / "downlink.key", keys.DOWNLINK).public_key
    assert made.firmware == key_file.load(site / "firmware.key", keys.FIRMWARE).public_key
    assert {(site / name).stat().st_mode & 0o777 for name in ("downlink.key", "firmware.key")} == {0o600}
    assert update_keys.beside(site / "elsewhere" / "site.key") == update_keys.NO_UPDATES


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("downlink =", "not TOML"),
        ('downlink = "00"', "downlink must be a public key"),
        (f'firmware = "{"00" * 32}"', "firmware must be a public key"),
        ("firmware = 5", "firmware must be a public key"),
        ("other = 5", "unknown key 'other'"),
    ],
)
def test_update_keys_that_are_none(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / update_keys.FILE
    path.write_text(text, "utf-8")
    with pytest.raises(SetupError, match=complaint):
        update_keys.read(path)


def test_signing_by_command(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, out = tmp_path / "cold.toml", tmp_path / "cold.offer"
    settings.write_text("interval_ms = 5000\n", "utf-8")

    def sign_config(path: Path, **options: Any) -> int:
        chosen = SignOptions(trust=site / "trust.toml", out=out, **options)
        return update_commands.sign_config(path, options=chosen)

    def sign_firmware(path: Path, **options: Any) -> int:
        chosen = SignOptions(trust=site / "trust.toml", out=out, **options)
        return update_commands.sign_firmware(path, options=chosen)

    assert sign_config(settings, key=site / "downlink.key", dry_run=True) == 0
    assert not out.exists()
    assert sign_config(settings, key=site / "downlink.key", target=KID.hex(), version=7) == 0
    found = offer_files.read(out).manifest
    assert (found.kind, found.version, found.target, found.origin) == ("config", 7, KID, ORIGIN)

    content = tmp_path / "x64.image"
    content.write_bytes(image.build("mpy6.3-x64", [("tallystick_node/a.py", b"a")]))
    assert sign_firmware(content, key=site / "firmware.key") == 2, "a file that is there stays"
    assert "is there already" in capsys.readouterr().err
    assert sign_firmware(content, key=site / "firmware.key", force=True) == 0
    found = offer_files.read(out).manifest
    assert (found.kind, found.board, found.target) == ("firmware", "mpy6.3-x64", None)
    assert found.version > 1_700_000_000, "the seconds since 1970"
    assert update_commands.update(port="/dev/none", offer=out, site_key=site / "site.key", dry_run=True) == 0
    assert "would offer firmware version" in capsys.readouterr().out

    assert sign_config(settings, key=site / "firmware.key") == 1
    assert sign_firmware(content, key=site / "downlink.key") == 1
    assert "holds a key of role" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"days": 0}, "days must be 1 to 366"),
        ({"version": 0}, "version must be 1 to"),
        ({"target": "00"}, "target must be a kid"),
        ({"target": "XY"}, "target: must be lowercase hex"),
    ],
)
def test_options_that_are_not_right(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], complaint: str
) -> None:
    settings = tmp_path / "a.toml"
    settings.write_text("", "utf-8")
    key, trust, out = site / "downlink.key", site / "trust.toml", tmp_path / "o"
    assert update_commands.sign_config(settings, options=SignOptions(key=key, trust=trust, out=out, **options)) == 1
    assert complaint in capsys.readouterr().err
