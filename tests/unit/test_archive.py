"""The one form of an archive: what is written is read back, any ZIP program opens it, everything else is refused."""

import io
import struct
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_proof import archive
from tallystick_proof.errors import ArchiveError

MEMBERS = {"b.cose": b"second", "a.cose": b"first", "manifest.cbor": b"", "z-1.checkpoint": bytes(range(256))}
NAMES = st.text(sorted(archive.NAME_CHARACTERS), min_size=1, max_size=20).filter(lambda name: name[0] != ".")
END_BYTES = 22


def test_the_exact_bytes_of_a_small_archive() -> None:
    """One member `a` with the byte `x`, written out: signature, version 1.0, no flags, stored, 1980-01-01."""
    local = "504b0304 0a00 0000 0000 0000 2100 8316dc8c 01000000 01000000 0100 0000 61 78"
    central = "504b0102 0a00 0a00 0000 0000 0000 2100 8316dc8c 01000000 01000000 0100 0000 0000 0000 0000"
    central += "00000000 00000000 61"
    end = "504b0506 0000 0000 0100 0100 2f000000 20000000 0000"
    assert archive.write({"a": b"x"}).hex() == (local + central + end).replace(" ", "")


@given(st.dictionaries(NAMES, st.binary(max_size=64), max_size=8))
def test_write_and_read(members: dict[str, bytes]) -> None:
    data = archive.write(members)
    assert archive.read(data) == members
    assert list(archive.read(data)) == sorted(members)
    assert archive.write(archive.read(data)) == data


def test_any_zip_program_opens_it() -> None:
    with zipfile.ZipFile(io.BytesIO(archive.write(MEMBERS))) as opened:
        assert opened.testzip() is None
        assert {info.filename: opened.read(info) for info in opened.infolist()} == MEMBERS
        assert {info.compress_type for info in opened.infolist()} == {zipfile.ZIP_STORED}
        assert {info.date_time for info in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def by_zipfile(
    compression: int = zipfile.ZIP_STORED, comment: bytes = b"", change: Callable[[zipfile.ZipInfo], None] | None = None
) -> bytes:
    """The members as Python's own writer writes them, made as like ours as it can."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        for name in sorted(MEMBERS):
            info = zipfile.ZipInfo(name)
            info.create_system, info.create_version, info.extract_version = 0, 10, 10
            info.compress_type = compression
            made.writestr(info, MEMBERS[name])
            info.external_attr = 0  # writestr claims permissions
            if change:
                change(info)
        made.comment = comment
    return buffer.getvalue()


def attribute(name: str, value: object) -> Callable[[zipfile.ZipInfo], None]:
    return lambda info: setattr(info, name, value)


@pytest.mark.parametrize(
    ("defect", "data"),
    [
        ("deflated", by_zipfile(zipfile.ZIP_DEFLATED)),
        ("a comment of the archive", by_zipfile(comment=b"hello")),
        ("a comment of a member", by_zipfile(change=attribute("comment", b"hello"))),
        ("an extra field", by_zipfile(change=attribute("extra", struct.pack("<HHI", 0x7875, 4, 1)))),
        ("another date", by_zipfile(change=attribute("date_time", (2024, 2, 29, 1, 2, 4)))),
        ("permission bits", by_zipfile(change=attribute("external_attr", 0o644 << 16))),
        ("another system", by_zipfile(change=attribute("create_system", 3))),
        ("a text flag", by_zipfile(change=attribute("internal_attr", 1))),
    ],
)
def test_zips_of_another_form(defect: str, data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None, defect
    with pytest.raises(ArchiveError):
        archive.read(data)


def test_zipfile_can_write_the_one_form() -> None:
    """So the rejections above are for their defect and for nothing else."""
    assert archive.read(by_zipfile()) == MEMBERS


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    offset %= len(data)
    return data[:offset] + value + data[offset + len(value) :]


GOOD = archive.write(MEMBERS)
DIRECTORY = GOOD.index(b"PK\x01\x02")


@pytest.mark.parametrize(
    ("defect", "data"),
    [
        ("empty", b""),
        ("cut short", GOOD[:-1]),
        ("something behind", GOOD + b"\0"),
        ("something before", b"#!/bin/sh\n" + GOOD),
        ("encrypted flag in the local header", patched(GOOD, 6, b"\1\0")),
        ("data descriptor flag", patched(GOOD, 6, b"\10\0")),
        ("UTF-8 flag", patched(GOOD, 7, b"\10")),
        ("another version", patched(GOOD, 4, b"\24\0")),
        ("method deflate", patched(GOOD, 8, b"\10\0")),
        ("size of a zip64 member", patched(GOOD, 22, b"\xff\xff\xff\xff")),
        ("sizes that differ", patched(GOOD, 18, b"\4\0\0\0")),
        ("an extra field that is not there", patched(GOOD, 28, b"\4\0")),
        ("a name in the directory only", patched(GOOD, DIRECTORY + 46, b"c")),
        ("an offset in the directory", patched(GOOD, DIRECTORY + 42, b"\1\0\0\0")),
        ("a member on another disk", patched(GOOD, DIRECTORY + 34, b"\1\0")),
        ("one member too few", patched(GOOD, -END_BYTES + 8, b"\3\0\3\0")),
        ("one member too many", patched(GOOD, -END_BYTES + 8, b"\5\0\5\0")),
        ("the counts differ", patched(GOOD, -END_BYTES + 8, b"\3\0")),
        ("a second disk", patched(GOOD, -END_BYTES + 4, b"\1\0")),
        ("a comment length without a comment", patched(GOOD, -2, b"\1\0")),
        ("a zip64 marker", patched(GOOD, -END_BYTES + 16, b"\xff\xff\xff\xff")),
    ],
)
def test_malformed(defect: str, data: bytes) -> None:
    assert data != GOOD, defect
    with pytest.raises(ArchiveError):
        archive.read(data)


def test_members_in_another_order() -> None:
    first, second = archive.write({"a": b"1"}), archive.write({"b": b"2"})
    local_a, local_b = first[:32], second[:32]
    directory = first[32:79] + patched(second[32:79], 42, struct.pack("<I", 32))
    end = patched(patched(first[79:], 8, struct.pack("<HHII", 2, 2, 94, 64)), 20, b"\0\0")
    assert local_a + local_b + directory + end == archive.write({"a": b"1", "b": b"2"})
    swapped = patched(second[32:79], 42, struct.pack("<I", 0)) + patched(first[32:79], 42, struct.pack("<I", 32))
    with pytest.raises(ArchiveError, match="one form"):
        archive.read(local_b + local_a + swapped + end)


def test_a_name_twice() -> None:
    one = archive.write({"a": b"1"})
    twice = one[:32] * 2 + one[32:79] + patched(one[32:79], 42, struct.pack("<I", 32))
    with pytest.raises(ArchiveError, match="twice"):
        archive.read(twice + patched(one[79:], 8, struct.pack("<HHII", 2, 2, 94, 64)))


def test_a_damaged_member_is_named() -> None:
    with pytest.raises(ArchiveError, match=r"z-1\.checkpoint is damaged"):
        archive.read(GOOD.replace(bytes(range(256)), bytes(reversed(range(256))), 1))


LONG = "x" * (archive.MAX_NAME_CHARACTERS + 1)


@pytest.mark.parametrize("name", ["", "A", "a/b", "../a", "a\\b", "a b", ".hidden", "a_b", "ä", "a\0", LONG])
def test_names(name: str) -> None:
    with pytest.raises(ArchiveError, match="name"):
        archive.write({name: b""})


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"m{number}": b"" for number in range(archive.MAX_MEMBERS)}
    assert archive.read(archive.write(many)) == many
    with pytest.raises(ArchiveError, match=f"at most {archive.MAX_MEMBERS}"):
        archive.write({**many, "one-more": b""})
    with pytest.raises(ArchiveError, match=f"at most {archive.MAX_MEMBERS}"):
        archive.read(patched(archive.write(many), -END_BYTES + 8, struct.pack("<HH", 10_001, 10_001)))
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", len(GOOD))
    assert archive.read(GOOD) == MEMBERS
    with pytest.raises(ArchiveError, match="at most"):
        archive.write({**MEMBERS, "b.cose": b"second!"})
    with pytest.raises(ArchiveError, match="at most"):
        archive.read(GOOD + b"\0")
