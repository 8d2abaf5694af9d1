"""Manifests, settings, images and the messages that bring them: what is accepted, and every single way to be wrong."""

from typing import Any

import pytest
from update_support import CHANCE, DOWNLINK, FIRMWARE, config, firmware, order, small_image

from tallystick_proof import keys, statement
from tallystick_wire import cbor, cose, image, manifest, message, settings, transfer
from tallystick_wire.errors import ManifestError, MessageError

KEY = bytes(range(32))
IDENTITY = bytes(range(16))


def test_messages() -> None:
    offer = transfer.build_offer(KEY, 5, b"statement")
    assert transfer.open_offer(KEY, offer) == (5, b"statement")
    assert transfer.open_want(transfer.build_want(IDENTITY, -4)) == (IDENTITY, -4)
    assert transfer.open_chunk(transfer.build_chunk(IDENTITY, 7, b"x")) == (IDENTITY, 7, b"x")
    assert transfer.open_outcome(transfer.build_outcome(IDENTITY, "kept")) == (IDENTITY, "kept")
    kinds = [offer, transfer.build_want(IDENTITY, 0), transfer.build_chunk(IDENTITY, 0, b"x")]
    assert [message.kind(data) for data in kinds] == ["offer", "want", "chunk"]
    largest = transfer.build_offer(KEY, manifest.MAX_TIME_MS, bytes(manifest.MAX_MANIFEST_BYTES))
    assert len(largest) <= 1200
    assert len(transfer.build_chunk(IDENTITY, transfer.MAX_CHUNKS - 1, bytes(transfer.MAX_PIECE_BYTES))) <= 1200


@pytest.mark.parametrize(
    ("opener", "items"),
    [
        (transfer.open_want, ["want", IDENTITY[1:], 0]),
        (transfer.open_want, ["want", IDENTITY, transfer.MAX_CHUNKS]),
        (transfer.open_want, ["want", IDENTITY, -transfer.MAX_LIST_PIECES - 1]),
        (transfer.open_want, ["want", IDENTITY, True]),
        (transfer.open_want, ["want", IDENTITY]),
        (transfer.open_chunk, ["chunk", IDENTITY, 0, b""]),
        (transfer.open_chunk, ["chunk", IDENTITY, 0, bytes(1025)]),
        (transfer.open_chunk, ["chunk", IDENTITY, 0, "text"]),
        (transfer.open_outcome, ["outcome", IDENTITY, ""]),
        (transfer.open_outcome, ["outcome", IDENTITY, "x" * 33]),
    ],
)
def test_messages_that_are_not_right(opener: Any, items: list[Any]) -> None:
    with pytest.raises(MessageError):
        opener(cbor.encode(items))


def test_an_offers_mac_covers_time_and_manifest() -> None:
    now_ms, data, mac = cbor.decode(transfer.build_offer(KEY, 5, b"statement"))[1:]
    for wrong in ([now_ms + 1, data, mac], [now_ms, data + b"x", mac], [now_ms, data, bytes(16)]):
        with pytest.raises(MessageError, match="MAC"):
            transfer.open_offer(KEY, cbor.encode(["offer", *wrong]))
    with pytest.raises(MessageError, match="MAC"):
        transfer.open_offer(bytes(32), transfer.build_offer(KEY, 5, b"statement"))


def test_manifests() -> None:
    one = config("interval_ms = 2000", order(7, target=bytes(8))).manifest
    assert (one.kind, one.version, one.target, one.kid) == (manifest.CONFIG, 7, bytes(8), DOWNLINK.kid)
    content = small_image()
    two = firmware(content, order(8)).manifest
    assert (two.kind, two.size, two.target, two.kid) == (manifest.FIRMWARE, len(content), None, FIRMWARE.kid)
    sizes = [two.chunk_size(index) for index in range(two.chunk_count)]
    assert sum(sizes) == len(content)
    assert set(sizes[:-1]) == {1024}


BASE: dict[str, Any] = {"aud": "o/l", "jti": bytes(16), "exp": 5, "target": None, "version": 1}
CONFIG: dict[str, Any] = {**BASE, "settings": cbor.Map([("interval_ms", 2000)])}
IMAGE: dict[str, Any] = {
    **BASE,
    "board": "mpy6.3-x64",
    "size": 2000,
    "chunk_bytes": 1024,
    "image": bytes(32),
    "chunks": bytes(32),
}
WRONG: list[tuple[dict[str, Any], str, Any]] = [
    (CONFIG, "exp", None),
    (CONFIG, "exp", -1),
    (CONFIG, "target", bytes(7)),
    (CONFIG, "version", 0),
    (CONFIG, "version", 1 << 32),
    (CONFIG, "version", True),
    (CONFIG, "jti", bytes(15)),
    (CONFIG, "settings", None),
    (CONFIG, "more", 1),
    (IMAGE, "size", 0),
    (IMAGE, "size", manifest.MAX_IMAGE_BYTES + 1),
    (IMAGE, "chunk_bytes", 255),
    (IMAGE, "chunk_bytes", 1000),
    (IMAGE, "image", bytes(31)),
    (IMAGE, "chunks", bytes(33)),
    (IMAGE, "board", ""),
    (IMAGE, "settings", cbor.Map([])),
]


def signed(kind: str, body: dict[str, Any], unprotected: cbor.Map | None = None) -> bytes:
    """Whatever the body is: as somebody else's tool might make it."""
    protected = cbor.encode(cbor.Map([(1, -8), (4, bytes(8)), (16, statement.typ(kind))]))
    parts = [protected, unprotected or cbor.Map([]), cbor.encode(cbor.Map(list(body.items()))), bytes(64)]
    return cbor.encode(cbor.Tag(cose.TAG_SIGN1, parts))


@pytest.mark.parametrize(("body", "field", "value"), WRONG, ids=lambda value: str(value)[:24])
def test_manifests_that_are_not_right(body: dict[str, Any], field: str, value: Any) -> None:
    kind = "config" if "settings" in body else "firmware"
    manifest.parse(signed(kind, body))
    with pytest.raises(ManifestError):
        manifest.parse(signed(kind, {**body, field: value}))
    if field in body:
        with pytest.raises(ManifestError):
            manifest.parse(signed(kind, {name: item for name, item in body.items() if name != field}))


def test_what_is_no_manifest() -> None:
    enrolment = signed("enrolment", CONFIG)
    free = signed("config", CONFIG, cbor.Map([(99, b"free")]))
    long = signed("config", {**CONFIG, "settings": cbor.Map([("name", "x" * 2000)])})
    for data in (b"", b"\xd2", enrolment, free, long, signed("firmware", CONFIG), signed("config", IMAGE)):
        with pytest.raises(ManifestError):
            manifest.parse(data)


@pytest.mark.parametrize(
    ("name", "good", "wrong"),
    [
        ("interval_ms", [1000, 86_400_000], [999, 86_400_001, True, "1000", None]),
        ("batch_readings", [1, 20], [0, 21]),
        ("batch_ms", [0, 86_400_000], [-1, 86_400_001]),
        ("give_up_oldest", [True, False], [1, None]),
        ("name", ["x", "x" * 32], ["", "x" * 33, 7]),
        ("offsets", [{}, {"t": -25}, {"b": 100_000}], [{"t": 100_001}, {"t": None}, {"d": 1}, {"zz": 1}, {1: 1}, []]),
        (
            "alarms",
            [{"t": [None, 800]}, {"t": [-5, None]}, {"h": [10, 90]}, {"t": [None, None]}],
            [{"t": [800, 800]}, {"t": [1]}, {"t": 5}, {"t": [1, True]}, {"f": [1, 2]}],
        ),
        ("colour", [], ["red"]),
    ],
)
def test_settings(name: str, good: list[Any], wrong: list[Any]) -> None:
    for value in good:
        settings.check(cbor.decode(cbor.encode({name: value})))
    for value in wrong:
        with pytest.raises(ManifestError):
            settings.check(cbor.decode(cbor.encode({name: value})))


class Folder:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def open(self, path: str) -> None:
        assert path not in self.files
        self.files[path] = b""
        self._path = path

    def write(self, piece: bytes) -> None:
        self.files[self._path] += piece

    def close(self) -> None:
        self._path = ""


@pytest.mark.parametrize("size", [1, 2, 7, 100, 10_000])
def test_images_unpack_in_pieces_of_any_size(size: int) -> None:
    files = [
        ("tallystick_node/a.py", b""),
        ("tallystick_node/b_1.mpy", CHANCE.randbytes(999)),
        ("tallystick_wire/c.py", b"c"),
    ]
    made = image.build("mpy6.3-x64", files)
    assert image.board_of(made) == "mpy6.3-x64"
    folder = Folder()
    unpacker = image.Unpacker(folder, "mpy6.3-x64")
    for start in range(0, len(made), size):
        unpacker.feed(made[start : start + size])
    unpacker.finish()
    assert folder.files == dict(files)


@pytest.mark.parametrize(
    "path",
    [
        "main.py",
        "../main.py",
        "tallystick_node/../main.py",
        "tallystick_node/sub/a.py",
        "tallystick_node/.py",
        "tallystick_node/a.txt",
        "tallystick_other/a.py",
        "/tallystick_node/a.py",
        "tallystick_node/A.py",
        "tallystick_node/a b.py",
    ],
)
def test_paths_that_no_image_may_have(path: str) -> None:
    with pytest.raises(ManifestError):
        image.build("mpy6.3-x64", [(path, b"x")])
    head = image.build("mpy6.3-x64", [])
    with pytest.raises(ManifestError):
        image.Unpacker(Folder(), "mpy6.3-x64").feed(head + bytes([len(path)]) + path.encode() + bytes(4))


def test_what_is_no_image() -> None:
    good = small_image(2)
    for length in (0, 5, 30, len(good) - 1):
        unpacker = image.Unpacker(Folder(), "mpy6.3-x64")
        unpacker.feed(good[:length])
        with pytest.raises(ManifestError):
            unpacker.finish()
    for data in (b"x" + good, good.replace(b"-x64", b"-x86"), image.build("mpy6.3-x64", []) + b"\xff" * 300):
        with pytest.raises(ManifestError):
            image.Unpacker(Folder(), "mpy6.3-x64").feed(data)
    assert image.board_of(b"elf") is None


def test_the_roles_that_sign_for_nodes() -> None:
    assert keys.roles_that_sign(keys.CONFIG) == (keys.DOWNLINK,)
    assert keys.roles_that_sign(keys.FIRMWARE_IMAGE) == (keys.FIRMWARE,)
    assert keys.MAY_SIGN[keys.DOWNLINK].isdisjoint(keys.MAY_SIGN[keys.FIRMWARE])
