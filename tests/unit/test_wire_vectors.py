"""tests/vectors/wire.json is what the code makes, on CPython and inside the real MicroPython."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tallystick_emulators import micropython
from tallystick_proof import statement
from tallystick_wire import cbor, frame, manifest, message, reading
from tallystick_wire.errors import CborError

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "wire.json").read_text("utf-8"))


def made_by(*command: str, **environment: str) -> object:
    script = str(FOLDER / "wire_vectors.py")
    finished = subprocess.run(
        [*command, script], env={**micropython.environment(), **environment}, stdout=subprocess.PIPE, check=True
    )
    return json.loads(finished.stdout)


def test_cpython_makes_them() -> None:
    assert made_by(sys.executable) == VECTORS


def test_micropython_makes_them() -> None:
    interpreter = micropython.find()
    assert interpreter is not None, "tools/test installs MicroPython"
    assert made_by(interpreter) == VECTORS


@pytest.mark.parametrize("vector", VECTORS["cbor"]["encoded"], ids=lambda vector: vector["what"])
def test_cbor_encoded(vector: dict[str, str]) -> None:
    data = bytes.fromhex(vector["hex"])
    assert cbor.encode(cbor.decode(data)) == data


@pytest.mark.parametrize("vector", VECTORS["cbor"]["refused"], ids=lambda vector: vector["why"])
def test_cbor_refused(vector: dict[str, str]) -> None:
    with pytest.raises(CborError):
        cbor.decode(bytes.fromhex(vector["hex"]))


def test_readings_chain_and_verify() -> None:
    from tallystick_proof.keys import kid, verify_signature

    public_key = bytes.fromhex(VECTORS["public_key"])
    assert kid(public_key).hex() == VECTORS["kid"]
    previous = bytes.fromhex(VECTORS["reading"]["genesis"])
    assert previous == reading.genesis(VECTORS["origin"], public_key)
    vectors = VECTORS["reading"]["readings"]
    for number, vector in enumerate(vectors):
        parsed = reading.parse(bytes.fromhex(vector["hex"]))
        assert verify_signature(public_key, parsed.sign1.to_be_signed, parsed.sign1.signature)
        assert parsed.identity.hex() == vector["identity"]
        assert (parsed.chain.previous == previous) is (number < 3)
        previous = parsed.link
    assert len(bytes.fromhex(vectors[2]["hex"])) == 210
    assert reading.parse(bytes.fromhex(vectors[3]["hex"])).gap == (3, 22)


def test_messages_have_their_kinds() -> None:
    for vector in VECTORS["messages"]:
        assert message.kind(bytes.fromhex(vector["hex"])) == vector["kind"]


def test_updates() -> None:
    vectors = {name: bytes.fromhex(text) for name, text in VECTORS["update"].items()}
    config, firmware = manifest.parse(vectors["config"]), manifest.parse(vectors["firmware"])
    assert config.settings is not None
    assert config.settings["offsets"]["t"] == -25
    assert (firmware.size, firmware.image) == (len(vectors["image"]), hashlib.sha256(vectors["image"]).digest())
    assert vectors["chunk_hashes"] == manifest.chunk_hashes(vectors["image"], firmware.chunk_bytes)
    assert firmware.chunks == hashlib.sha256(vectors["chunk_hashes"]).digest()
    for data in (vectors["config"], vectors["firmware"]):
        found = statement.parse(data)
        statement.verify(found, bytes.fromhex(VECTORS["public_key"]))


def test_frames() -> None:
    stream = bytes.fromhex("".join(vector["frame"] for vector in VECTORS["frames"]))
    assert [payload.hex() for payload in frame.Decoder().feed(stream)] == [v["payload"] for v in VECTORS["frames"]]
