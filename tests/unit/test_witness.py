"""The witness: every status of the protocol, and that it remembers before it signs."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger_support import Clock

from tallystick_ledger.witness_client import request_body
from tallystick_proof import checkpoint, keys, merkle, note
from tallystick_proof.checkpoint import Checkpoint
from tallystick_proof.keys import Signer
from tallystick_proof.note import VerifierKey
from tallystick_provisioning import lock_file
from tallystick_tools import witness_commands
from tallystick_tools.errors import WitnessError
from tallystick_tools.witness import MAX_REQUEST_BYTES, TREE_SIZE, Answer, Witness, load_state, save_state

ORIGIN = "ledger.example/log"
LOG = Signer(keys.LEDGER, bytes([1]) * 32)
STRANGER = Signer(keys.LEDGER, bytes([2]) * 32)
WITNESS = Signer(keys.WITNESS, bytes([3]) * 32)
NAME = "witness.example/w1"
VKEY = VerifierKey(NAME, note.TYPE_COSIGNATURE, WITNESS.public_key)
LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(20)]
OTHER = [merkle.leaf_hash(bytes([number, 1])) for number in range(20)]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_760_000_000_000)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state.json"
    save_state(path, {})
    return path


@pytest.fixture
def open_witness(state: Path, clock: Clock) -> Callable[[], Witness]:
    logs = {ORIGIN: [VerifierKey(ORIGIN, note.TYPE_ED25519, LOG.public_key)]}
    return lambda: Witness(WITNESS, NAME, logs, state, clock.seconds)


@pytest.fixture
def witness(open_witness: Callable[[], Witness]) -> Witness:
    return open_witness()


def text_of(size: int, leaves: list[bytes] = LEAVES, origin: str = ORIGIN) -> str:
    return Checkpoint(origin, size, merkle.root(leaves[:size])).text


def signed(text: str, signer: Signer = LOG) -> bytes:
    return note.format(note.Note(text, [note.sign_note(signer, text.partition("\n")[0], text)]))


def proof(old: int, new: int, leaves: list[bytes] = LEAVES) -> list[bytes]:
    """RFC 6962 section 2.1.2, recursively: another way than the product's."""
    if not 0 < old < new:
        return []

    def sub(m: int, d: list[bytes], whole: bool) -> list[bytes]:
        if m == len(d):
            return [] if whole else [merkle.root(d)]
        k = merkle.split(len(d))
        if m <= k:
            return [*sub(m, d[:k], whole), merkle.root(d[k:])]
        return [*sub(m - k, d[k:], False), merkle.root(d[:k])]

    return sub(old, leaves[:new], True)


def ask(witness: Witness, old: int, new: int, **changes: Any) -> Answer:
    leaves = changes.get("leaves", LEAVES)
    data = changes.get("note", signed(text_of(new, leaves)))
    return witness.add_checkpoint(request_body(old, changes.get("proof", proof(old, new, leaves)), data))


def cosigned(answer: Answer, text: str) -> int:
    """The second of the cosignature in an answer."""
    assert answer.status == 200
    line = note.parse_line(answer.body.decode().rstrip("\n"))
    assert note.verify_line(text, line, VKEY)
    return checkpoint.cosignature_time(line)


def test_200_first_and_grown_and_fresh(witness: Witness, clock: Clock) -> None:
    assert cosigned(ask(witness, 0, 5), text_of(5)) == 1_760_000_000
    assert cosigned(ask(witness, 5, 12), text_of(12)) == 1_760_000_000
    clock.now_ms += 60_000
    assert cosigned(ask(witness, 12, 12), text_of(12)) == 1_760_000_060


@pytest.mark.parametrize(("old", "new"), [(a, b) for a in range(1, 20, 3) for b in range(a, 20, 2)])
def test_every_honest_growth_is_cosigned(witness: Witness, old: int, new: int) -> None:
    ask(witness, 0, old)
    assert ask(witness, old, new).status == 200


def test_400(witness: Witness) -> None:
    ask(witness, 0, 5)
    good = request_body(5, proof(5, 7), signed(text_of(7)))
    for body in [
        b"",
        b"junk",
        good[4:],
        good.replace(b"old 5", b"old 05"),
        good.replace(b"old 5", b"old -5"),
        good.replace(b"old 5", b"old  5"),
        good.replace(b"old 5\n", b"old 5\nAAAA\n"),
        good.replace(b"old 5\n", b"old 5\n" + b"A" * 43 + b"=\n" * 1 + (b"A" * 43 + b"=\n") * 63),
        good + b"x",
        good[:-1],
        bytes(MAX_REQUEST_BYTES + 1),
        request_body(8, [], signed(text_of(7))),  # an old size above the checkpoint's
    ]:
        assert witness.add_checkpoint(body).status == 400, body[:60]
    assert ask(witness, 5, 7).status == 200, "nothing of it left a trace"


def test_403(witness: Witness) -> None:
    forged = bytearray(signed(text_of(5)))
    assert ask(witness, 0, 5, note=signed(text_of(5), STRANGER)).status == 403
    at = forged.rindex(b" ") + 20
    forged[at] = ord("A") if forged[at] != ord("A") else ord("B")
    assert ask(witness, 0, 5, note=bytes(forged)).status == 403


def test_unknown_signatures_beside_the_log_s_are_ignored(witness: Witness) -> None:
    text = text_of(5)
    lines = [note.sign_note(STRANGER, ORIGIN, text), note.sign_note(LOG, ORIGIN, text)]
    assert ask(witness, 0, 5, note=note.format(note.Note(text, lines))).status == 200


def test_404(witness: Witness) -> None:
    assert ask(witness, 0, 5, note=signed(text_of(5, origin="other.example/log"))).status == 404


def test_409_tells_the_size(witness: Witness) -> None:
    ask(witness, 0, 5)
    answer = ask(witness, 3, 7)
    assert (answer.status, answer.body, answer.media_type) == (409, b"5\n", TREE_SIZE)
    assert ask(witness, 0, 7).body == b"5\n"


def test_409_for_another_root_of_the_same_size(witness: Witness) -> None:
    ask(witness, 0, 5)
    assert ask(witness, 5, 5, leaves=OTHER, proof=[]).status == 409


def test_409_for_a_roll_back(witness: Witness) -> None:
    """A log restored from a backup, honest but smaller, gets no cosignature."""
    ask(witness, 0, 5)
    ask(witness, 5, 12)
    for old in (0, 5, 7):
        assert ask(witness, old, 7).body == b"12\n"


def test_422(witness: Witness) -> None:
    assert ask(witness, 0, 5, proof=[bytes(32)]).status == 422
    ask(witness, 0, 5)
    good = proof(5, 12)
    for wrong in ([], good[:-1], [*good, bytes(32)], [good[0], *good[2:]], good[::-1]):
        assert ask(witness, 5, 12, proof=wrong).status == 422
    fork = LEAVES[:4] + OTHER[4:]
    assert ask(witness, 5, 12, leaves=fork, proof=proof(5, 12, fork)).status == 422
    assert ask(witness, 5, 5, proof=[bytes(32)]).status == 422


def test_remembers_over_a_restart(witness: Witness, open_witness: Callable[[], Witness]) -> None:
    ask(witness, 0, 5)
    again = open_witness()
    assert ask(again, 0, 7, leaves=OTHER).status == 409
    assert ask(again, 5, 7).status == 200


def test_crash_before_it_is_remembered_signs_nothing(
    witness: Witness, open_witness: Callable[[], Witness], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(witness, 0, 5)

    def crash(*_: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crash)
        with pytest.raises(OSError, match="power cut"):
            ask(witness, 5, 12)
    assert ask(open_witness(), 5, 9).status == 200, "12 was never signed, so 9 may be"


def test_crash_after_it_is_remembered_signs_no_fork(
    witness: Witness, open_witness: Callable[[], Witness], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is durable, the answer is lost: the log learns of it by a 409 and gets its cosignature then."""
    ask(witness, 0, 5)

    def crash(*_: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr("tallystick_tools.witness.checkpoint.cosign", crash)
        with pytest.raises(OSError, match="power cut"):
            ask(witness, 5, 12)
    again = open_witness()
    fork = LEAVES[:5] + OTHER[5:]
    assert ask(again, 5, 12, leaves=fork, proof=proof(5, 12, fork)).status == 409
    assert ask(again, 5, 12).body == b"12\n"
    assert ask(again, 12, 12).status == 200


def test_signs_only_what_is_remembered(witness: Witness, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    cosign = checkpoint.cosign

    def watch(*arguments: Any) -> Any:
        seen.append(load_state(state)[ORIGIN].size)
        return cosign(*arguments)

    monkeypatch.setattr("tallystick_tools.witness.checkpoint.cosign", watch)
    for old, new in ((0, 5), (5, 12), (12, 20)):
        ask(witness, old, new)
    assert seen == [5, 12, 20]


def test_state_is_written_in_the_durable_order(
    state: Path, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def watched_fsync(descriptor: int) -> None:
        calls.append("fsync")
        fsync(descriptor)

    def watched_rename(path: Path, target: Path) -> Path:
        calls.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    ask(witness, 0, 5)
    assert calls == ["fsync", "rename", "fsync"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": {"size": -1, "root": ""}}', b'{"a": 1}'])
def test_broken_state_is_no_fresh_start(state: Path, content: bytes, open_witness: Callable[[], Witness]) -> None:
    state.write_bytes(content)
    with pytest.raises(WitnessError, match="must not start"):
        open_witness()


def test_missing_state_is_no_fresh_start(state: Path, open_witness: Callable[[], Witness]) -> None:
    state.unlink()
    with pytest.raises(WitnessError, match="must not start"):
        open_witness()


class TestCommands:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        vkey = tmp_path / "ledger.vkey"
        vkey.write_text(VerifierKey(ORIGIN, note.TYPE_ED25519, LOG.public_key).vkey + "\n", "utf-8")
        assert witness_commands.init(tmp_path / "w", name=NAME, log_vkey=[vkey], port=0) == 0
        return tmp_path / "w"

    def test_init(self, folder: Path) -> None:
        assert (folder / "witness.key").stat().st_mode & 0o777 == 0o600
        found = witness_commands.load(folder / "witness.toml")
        assert list(found.logs) == [ORIGIN]
        assert VerifierKey.parse((folder / "witness.vkey").read_text("utf-8").strip()).name == NAME
        assert json.loads((folder / "state.json").read_text("utf-8")) == {}

    def test_init_overwrites_nothing(self, folder: Path) -> None:
        before = (folder / "witness.key").read_bytes()
        assert witness_commands.init(folder, name=NAME) == 1
        assert (folder / "witness.key").read_bytes() == before

    def test_init_keeps_an_old_state(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "witness.key").unlink()
        assert witness_commands.init(folder, name=NAME) == 1
        assert "state.json: exists already; nothing was written" in capsys.readouterr().err
        assert not (folder / "witness.key").exists()

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"name": "a b"}, "name: a name holds no space"),
            ({"name": ""}, "name must be text"),
            ({"port": 70_000}, "port must be"),
            ({"host": ""}, "host must be text"),
        ],
    )
    def test_nothing_is_made_of_wrong_options(
        self, tmp_path: Path, options: dict[str, Any], complaint: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert witness_commands.init(tmp_path / "new", **{"name": NAME} | options) == 2
        assert complaint in capsys.readouterr().err
        assert not (tmp_path / "new").exists()

    def test_a_log_key_that_is_none(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "x.vkey"
        for content in (b"\xff", b"junk"):
            path.write_bytes(content)
            assert witness_commands.init(tmp_path / "new", name=NAME, log_vkey=[path]) in (1, 2)
            assert f"{path}: " in capsys.readouterr().err
            assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize(
        ("old", "new", "complaint"),
        [
            ('name = "', 'nam = "', "unknown key 'nam'"),
            ('host = "127.0.0.1"', "", "the key 'host' is missing"),
            (f'name = "{NAME}"', 'name = "a b"', "name: "),
            ("port = 0", "port = 99999", "port must be"),
            ("port = 0", "port = true", "port must be"),
            ("port = 0", 'port = "x"', "port must be"),
            ("logs = [", "logs = [1,", "logs: "),
        ],
    )
    def test_wrong_configuration_is_named(self, folder: Path, old: str, new: str, complaint: str) -> None:
        path = folder / "witness.toml"
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")
        with pytest.raises(WitnessError, match=complaint) as wrong:
            witness_commands.load(path)
        assert str(wrong.value).startswith(f"{path}: ")

    def test_a_taken_port_is_named(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            path = folder / "witness.toml"
            path.write_text(path.read_text("utf-8").replace("port = 0", f"port = {port}"), "utf-8")
            assert witness_commands.serve(config=path) == 2
        assert f"host, port: 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err

    def test_two_on_one_state(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with lock_file.held(folder / "state.json.lock", "taken"):
            assert witness_commands.serve(config=folder / "witness.toml") == 2
        assert "another witness runs with" in capsys.readouterr().err
