"""Key files, site keys and the outbox: private, never overwritten, durable."""

import os
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick_proof import keys
from tallystick_provisioning import address, exit_codes, key_file, secret_file, site, text_file, toml_text, whole_file
from tallystick_provisioning.errors import AddressError, FileError, KeyFileError
from tallystick_provisioning.outbox import Outbox


def test_a_key_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "gateway.key"
    made = key_file.create(path, keys.GATEWAY)
    assert path.stat().st_mode & 0o777 == 0o600
    assert key_file.load(path, keys.GATEWAY).public_key == made.public_key
    assert key_file.load_any(path).role == keys.GATEWAY


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    before = key_file.create(path, keys.GATEWAY)
    with pytest.raises(KeyFileError, match="exists already"):
        key_file.create(path, keys.GATEWAY)
    assert key_file.load(path, keys.GATEWAY).public_key == before.public_key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o601])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.key"
    key_file.create(path, keys.GATEWAY)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o} lets others read a secret; run chmod 600"):
        key_file.load(path, keys.GATEWAY)


def test_a_key_has_one_role(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    key_file.create(path, keys.INSTALLER)
    with pytest.raises(KeyFileError, match="holds a key of role installer, not organisation"):
        key_file.load(path, keys.ORGANISATION)


@pytest.mark.parametrize("text", ["", "x", "tallystick-secret-v1 gateway", "a b c\n", "tallystick-secret-v1 gateway z"])
def test_other_files_are_no_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.key"
    secret_file.write_new(path, text)
    with pytest.raises(KeyFileError, match=r"a\.key: "):
        key_file.load(path, keys.GATEWAY)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        key_file.load(tmp_path / "none.key", keys.GATEWAY)
    with pytest.raises(FileError, match="No such file"):
        key_file.create(tmp_path / "no" / "folder.key", keys.GATEWAY)
    large = tmp_path / "large.key"
    secret_file.write_new(large, "x" * (secret_file.MAX_SECRET_FILE_BYTES + 1))
    with pytest.raises(KeyFileError, match="not a secret"):
        secret_file.read(large)


def test_the_secret_is_on_disk_before_anyone_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(number: int) -> None:
        synced.append(number)
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    secret_file.write_new(tmp_path / "a.key", "x")
    assert len(synced) == 2, "the file and its folder"


def test_site_key(tmp_path: Path) -> None:
    made = site.create(tmp_path / "site.key")
    assert len(made) == 32
    assert site.load(tmp_path / "site.key") == made
    with pytest.raises(KeyFileError, match="exists already"):
        site.create(tmp_path / "site.key")


@pytest.mark.parametrize(
    "text",
    ["", "tallystick-site-v1 00\n", f"tallystick-site-v2 {'0' * 64}\n", f"tallystick-site-v1 {'0' * 64}",
     f"tallystick-site-v1 {'A' * 64}\n", f"tallystick-site-v1 {'zz' * 32}\n"],
)
def test_no_site_key(tmp_path: Path, text: str) -> None:
    secret_file.write_new(tmp_path / "site.key", text)
    with pytest.raises(KeyFileError, match="not a site key"):
        site.load(tmp_path / "site.key")


def test_outbox(tmp_path: Path, make_world: Callable[..., Any]) -> None:
    world = make_world("outbox")
    statements = [world.statements[world.enrolments[name]][0] for name in ("node-a", "node-b", "gateway")]
    outbox = Outbox(tmp_path / "out" / "box")
    assert outbox.waiting() == []
    paths = [outbox.keep(data) for data in statements]
    for number, path in enumerate(paths):
        os.utime(path, (number, number))
    (outbox.folder / "torn.tmp").write_bytes(b"half")
    assert outbox.waiting() == paths
    assert [path.read_bytes() for path in paths] == statements
    outbox.delivered(paths[0])
    outbox.refused(paths[1])
    assert Outbox(outbox.folder).waiting() == [paths[2]]
    assert outbox.keep(statements[2]) == paths[2]
    assert outbox.waiting() == [paths[2]]


def test_text_files_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("ä = 1")
    assert text_file.read(path, 6) == "ä = 1"
    for wrong, complaint in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file"),
        (Path("/dev/zero"), "more than 5 bytes"),
        (path, "more than 5 bytes"),
        (Path("a\0b"), "null byte"),
    ):
        with pytest.raises(FileError, match=complaint):
            text_file.read(wrong, 5)
    path.write_bytes(b"\xff")
    with pytest.raises(FileError, match="not UTF-8"):
        text_file.read(path, 5)


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path, link = tmp_path / "out.bin", tmp_path / "link"
    link.symlink_to(path)
    whole_file.write(path, [b"on", b"e"])
    whole_file.write(link, [b"two"])
    assert (path.read_bytes(), link.is_symlink()) == (b"two", True)

    def torn() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole_file.write(path, torn())
    assert path.read_bytes() == b"two"
    assert sorted(found.name for found in tmp_path.iterdir()) == ["link", "out.bin"]


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        whole_file.write(pipe, [b"one"])
        assert os.read(reader, 10) == b"one"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    with pytest.raises(IsADirectoryError):
        whole_file.write(tmp_path, [b"x"])


def test_no_file_is_overwritten_by_mistake(tmp_path: Path) -> None:
    """An input, or another program's file, that is named as the output stays; the same bytes again are no mistake."""
    path, link, chunks = tmp_path / "rows.csv", tmp_path / "link", [b"row,", b"gtin"]
    path.write_bytes(b"GTIN,serial")
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(FileError, match="is there already; choose another name, or write over it with --force"):
            whole_file.write_output(name, chunks, force=False)
    for dry_run in (True, False):
        whole_file.write_output(path, chunks, force=True, dry_run=dry_run)
        assert path.read_bytes() == (b"GTIN,serial" if dry_run else b"row,gtin")
    whole_file.write_output(path, chunks, force=False)
    for other in ([b"row,gtin,"], [b"row,"], [], [b"row,gtiN"]):
        with pytest.raises(FileError, match="--force"):
            whole_file.write_output(path, other, force=False, dry_run=True)
    whole_file.write_output(tmp_path / "new", chunks, force=False)
    assert (tmp_path / "new").read_bytes() == b"row,gtin"


@pytest.mark.parametrize(
    "begins", [b"SQLite format 3\0...", b"tallystick-secret-v1 ...", b"\x84\x71tallystick-job-v1..."]
)
def test_a_job_or_a_key_is_not_overwritten_on_demand_either(tmp_path: Path, begins: bytes) -> None:
    path = tmp_path / "out"
    path.write_bytes(begins)
    with pytest.raises(FileError, match="never overwritten"):
        whole_file.write_output(path, [b"x"], force=True)
    assert path.read_bytes() == begins


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", "x = 1 # y", "ä/log", "\u202e"])
def test_every_text_survives_toml(text: str) -> None:
    assert tomllib.loads(f"a = {toml_text.quoted(text)}") == {"a": text}


@pytest.mark.parametrize("url", ["http://a", "https://a.example:8443/b", "http://[::1]:80", "http://127.0.0.1:8088/"])
def test_addresses(url: str) -> None:
    assert address.check(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["", "a", "ftp://a", "http://", "http://a:99999", "http://a:x", "http://a b", "http://[::1", "http://u:p@a", "http://a?x=1",
     "http://a#b", "http://a\n"],
)  # fmt: skip
def test_no_addresses(url: str) -> None:
    with pytest.raises(AddressError):
        address.check(url)


def test_the_systems_errors_name_the_file_first(capsys: pytest.CaptureFixture[str]) -> None:
    @exit_codes.reporting()
    def command() -> int:
        Path("/nonexistent/x").write_text("")
        return 0

    assert command() == 2
    assert capsys.readouterr().err == "could not run: /nonexistent/x: No such file or directory\n"
