"""The container of a bundle: a ZIP that has exactly one form, so that none of its bytes is free.

The rule is one line: an archive is good when `data == write(read(data))`. `read` therefore looks only at what it needs
(counts, sizes, names, checksums) and leaves order, dates, attributes, flags, extra fields and comments to the
comparison. Any ZIP program opens the result: stored only, flat names, the local headers and the directory agree.
"""

import string
import struct
from collections.abc import Mapping
from zlib import crc32

from tallystick_proof.errors import ArchiveError

MAX_ARCHIVE_BYTES = 64 << 20  # a 90-day journey is about 10 MiB; also far below what needs zip64
MAX_MEMBERS = 10_000  # below the 65,535 of a ZIP without zip64; four members a batch are 2,500 batches
MAX_NAME_CHARACTERS = 128  # the longest name is 6 + 64 + 1 + 10 + 1 + 20 + 11 characters (a batch's proof)
NAME_CHARACTERS = frozenset(string.ascii_lowercase + string.digits + "-.")

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_VERSION = 10  # 1.0: stored members, made on FAT, so that no permission bits are claimed
_FLAGS = _METHOD = _TIME = 0
_DATE = 0x21  # 1980-01-01, the first day a ZIP can name


def write(members: Mapping[str, bytes]) -> bytes:
    """The one archive that holds these members; ArchiveError when a name or a size is out of bounds."""
    _check_count(len(members))
    parts: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name in sorted(members):
        _check_name(name)
        content, label = members[name], name.encode("ascii")
        common = (_VERSION, _FLAGS, _METHOD, _TIME, _DATE, crc32(content), len(content), len(content), len(label))
        parts += [_LOCAL.pack(_LOCAL_MARK, *common, 0), label, content]
        directory += [_CENTRAL.pack(_CENTRAL_MARK, _VERSION, *common, 0, 0, 0, 0, 0, offset), label]
        offset += _LOCAL.size + len(label) + len(content)
        _check_size(offset)
    tail = b"".join(directory)
    count = len(members)
    archive = b"".join(parts) + tail + _END.pack(_END_MARK, 0, 0, count, count, len(tail), offset, 0)
    _check_size(len(archive))
    return archive


def read(data: bytes) -> dict[str, bytes]:
    """The members by name; ArchiveError when `data` is not the one archive that holds them."""
    count, directory_offset = _end(data)
    members: dict[str, bytes] = {}
    position = 0
    for _ in range(count):
        name, content, position = _member(data, position, directory_offset)
        if name in members:
            raise ArchiveError(f"the name {name} occurs twice")
        members[name] = content
    if write(members) != data:
        raise ArchiveError("not in the one form of a bundle: order, date, attribute, extra field or stray bytes")
    return members


def _end(data: bytes) -> tuple[int, int]:
    """(member count, offset of the directory) from the end record, which is the last thing and has no comment."""
    _check_size(len(data))
    if len(data) < _END.size or data[-_END.size : -_END.size + 4] != _END_MARK:
        raise ArchiveError("not a ZIP, or it does not end where a ZIP without a comment ends")
    _, _, _, _, count, directory_bytes, directory_offset, _ = _END.unpack_from(data, len(data) - _END.size)
    _check_count(count)
    if directory_offset + directory_bytes + _END.size != len(data):
        raise ArchiveError("the end record does not fit the archive's length")
    return count, directory_offset


def _member(data: bytes, start: int, limit: int) -> tuple[str, bytes, int]:
    """(name, content, position behind it) of the member whose local header stands at `start`."""
    if start + _LOCAL.size > limit:
        raise ArchiveError("a member reaches into the directory")
    mark, _, _, method, _, _, checksum, packed, size, name_bytes, extra = _LOCAL.unpack_from(data, start)
    name_start = start + _LOCAL.size
    content_start = name_start + name_bytes
    end = content_start + size
    if mark != _LOCAL_MARK or method != _METHOD or packed != size or extra:
        raise ArchiveError("a member is not stored plainly")
    if end > limit:
        raise ArchiveError("a member reaches into the directory")
    name = data[name_start:content_start].decode("latin-1")
    _check_name(name)
    content = data[content_start:end]
    if crc32(content) != checksum:
        raise ArchiveError(f"{name} is damaged: its bytes do not fit its CRC-32")
    return name, content, end


def _check_name(name: str) -> None:
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or not NAME_CHARACTERS.issuperset(name) or name.startswith("."):
        raise ArchiveError(f"a name is 1 to {MAX_NAME_CHARACTERS} of a-z 0-9 - and . and starts with no dot")


def _check_count(count: int) -> None:
    if count > MAX_MEMBERS:
        raise ArchiveError(f"{count} members, at most {MAX_MEMBERS}")


def _check_size(size: int) -> None:
    if size > MAX_ARCHIVE_BYTES:
        raise ArchiveError(f"an archive is at most {MAX_ARCHIVE_BYTES} bytes")
