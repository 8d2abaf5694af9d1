"""Witness policies (C2SP tlog-policy): whose signatures make a checkpoint believable, and what times they give.

A policy comes from trust.toml only. A note is held against it strictly: a line that the policy does not name, a line
that does not verify, and a line that is not in the order of the policy (or occurs twice) are all refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tallystick_proof import checkpoint, note
from tallystick_proof.checkpoint import Checkpoint
from tallystick_proof.errors import CheckpointError, NoteError, PolicyError
from tallystick_proof.note import SignatureLine, VerifierKey

MAX_POLICY_BYTES = 64 * 1024  # 96 definitions of 256 characters and as much again for comments and URLs
MAX_POLICY_DEFINITIONS = 32  # of each of log, witness and group: what C2SP asks every reader to support
NO_QUORUM = "none"


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses when at least `threshold` of its members (names of witnesses or groups) do."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a note proves under a policy. The times are None unless the quorum is met.

    The checkpoint existed at `quorum_ms` at the latest; what came after it came after `earliest_ms`.
    """

    checkpoint: Checkpoint
    text: str
    earliest_ms: int | None
    quorum_ms: int | None
    witnessed: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """Log keys, witness keys by policy name, groups in the order of definition, and the name of the quorum."""

    logs: tuple[VerifierKey, ...]
    witnesses: dict[str, VerifierKey]
    groups: tuple[Group, ...]
    quorum: str
    text: str

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """The policy in a tlog-policy text; PolicyError names the line."""
        return _Reader().read(text)

    def check(self, note_bytes: bytes, origin: str) -> Witnessed:
        """What the note proves about `origin`'s tree; PolicyError unless one of its log keys signed it.

        A missing quorum is no error: `witnessed` is False then, and the caller decides.
        """
        parsed, head = self._parse(note_bytes, origin)
        self._check_lines(parsed, origin)
        names = {(vkey.name, vkey.key_id): name for name, vkey in self.witnesses.items()}
        cosigned = [line for line in parsed.lines if (line.name, line.key_id) in names]
        if len(cosigned) == len(parsed.lines):
            raise PolicyError(f"no signature of the log {origin!r}")
        times_s = {names[line.name, line.key_id]: note.cosignature_time_s(line) for line in cosigned}
        quorum_s = self._quorum_time(times_s)
        if quorum_s is None:
            return Witnessed(head, parsed.text, None, None, False)
        # A cosignature of second T was made within [T, T + 1): hence the earliest start and the latest end.
        return Witnessed(head, parsed.text, min(times_s.values()) * 1000, (quorum_s + 1) * 1000, True)

    def in_order(self, lines: Iterable[SignatureLine]) -> list[SignatureLine]:
        """The lines as they must stand in a note: logs, then witnesses, as the policy lists them; strangers last."""
        places = {(vkey.name, vkey.key_id): place for place, vkey in enumerate(self._signers())}
        return sorted(lines, key=lambda line: places.get((line.name, line.key_id), len(places)))

    def _signers(self) -> list[VerifierKey]:
        return [*self.logs, *self.witnesses.values()]

    def _check_lines(self, parsed: note.Note, origin: str) -> None:
        """Each line is one of the policy's, holds, and stands behind those that the policy lists before it."""
        allowed = iter([vkey for vkey in self._signers() if vkey.name == origin or vkey not in self.logs])
        for line in parsed.lines:
            vkey = next((one for one in allowed if (one.name, one.key_id) == (line.name, line.key_id)), None)
            if vkey is None:
                raise PolicyError(f"a line under {line.name!r} is not the policy's, not in its order, or there twice")
            if not note.verify_line(parsed.text, line, vkey):
                raise PolicyError(f"the signature of {line.name!r} does not hold")

    def _parse(self, note_bytes: bytes, origin: str) -> tuple[note.Note, Checkpoint]:
        try:
            parsed = note.parse(note_bytes)
            head = checkpoint.parse(parsed.text)
        except (NoteError, CheckpointError) as error:
            raise PolicyError(f"checkpoint note: {error}") from None
        if head.origin != origin:
            raise PolicyError(f"a checkpoint of {head.origin!r}, not of {origin!r}")
        return parsed, head

    def _quorum_time(self, times_s: dict[str, int]) -> int | None:
        """The second in which the quorum was complete; None when it is not, or when there is none."""
        if self.quorum == NO_QUORUM:
            return None
        complete = dict(times_s)
        for group in self.groups:  # members stand before their group, so one pass is enough
            times = sorted(complete[member] for member in group.members if member in complete)
            if len(times) >= group.threshold:
                complete[group.name] = times[group.threshold - 1]
        return complete.get(self.quorum)


class _Reader:
    """Reads the lines of one policy text in order."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[str, VerifierKey] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self.members: set[str] = set()

    def read(self, text: str) -> Policy:
        if len(text.encode(errors="surrogatepass")) > MAX_POLICY_BYTES:
            raise PolicyError(f"a policy is at most {MAX_POLICY_BYTES} bytes")
        if any((character < " " and character not in "\t\n") or character == "\x7f" for character in text):
            raise PolicyError("a policy holds no control characters but tab and newline")
        if text and not text.endswith("\n"):
            raise PolicyError("the last line of a policy must end in a newline")
        for number, line in enumerate(text.split("\n"), 1):
            words = [word for word in line.replace("\t", " ").split(" ") if word]
            if words and not words[0].startswith("#"):
                try:
                    self._line(words)
                except (PolicyError, NoteError) as error:
                    raise PolicyError(f"policy line {number}: {error}") from None
        if self.quorum is None:
            raise PolicyError("a policy has exactly one quorum line, and this one has none")
        return Policy(tuple(self.logs), self.witnesses, tuple(self.groups.values()), self.quorum, text)

    def _line(self, words: list[str]) -> None:
        keyword, rest = words[0], words[1:]
        if keyword == "log" and len(rest) in (1, 2):
            self._log(rest[0])
        elif keyword == "witness" and len(rest) in (2, 3):
            self._witness(rest[0], rest[1])
        elif keyword == "group" and len(rest) >= 3:
            self._group(rest[0], rest[1], rest[2:])
        elif keyword == "quorum" and len(rest) == 1:
            self._quorum(rest[0])
        else:
            raise PolicyError("not log VKEY [URL], witness NAME VKEY [URL], group NAME K NAME... or quorum NAME")

    def _log(self, vkey: str) -> None:
        key = VerifierKey.parse(vkey)
        if key.key_type != note.TYPE_ED25519:
            raise PolicyError("a log key has signature type 1")
        self._unused(key, len(self.logs))
        self.logs.append(key)

    def _witness(self, name: str, vkey: str) -> None:
        key = VerifierKey.parse(vkey)
        if key.key_type != note.TYPE_COSIGNATURE:
            raise PolicyError("a witness key has signature type 4")
        self._unused(key, len(self.witnesses))
        self._undefined(name)
        self.witnesses[name] = key

    def _unused(self, key: VerifierKey, count: int) -> None:
        """One key has one role, so a witness key is also no log key."""
        if count >= MAX_POLICY_DEFINITIONS:
            raise PolicyError(f"at most {MAX_POLICY_DEFINITIONS} of a kind")
        if any(key.public_key == other.public_key for other in (*self.logs, *self.witnesses.values())):
            raise PolicyError("this public key occurs twice")

    def _group(self, name: str, threshold: str, members: list[str]) -> None:
        if len(self.groups) >= MAX_POLICY_DEFINITIONS:
            raise PolicyError(f"at most {MAX_POLICY_DEFINITIONS} of a kind")
        self._undefined(name)
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                raise PolicyError(f"{member!r} is not defined before")
            if member in self.members:
                raise PolicyError(f"{member!r} is already a member of a group")
            self.members.add(member)
        self.groups[name] = Group(name, _threshold(threshold, len(members)), tuple(members))

    def _quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise PolicyError("a policy has exactly one quorum line")
        if name not in (NO_QUORUM, *self.witnesses, *self.groups):
            raise PolicyError(f"{name!r} is not defined before")
        self.quorum = name

    def _undefined(self, name: str) -> None:
        if name == NO_QUORUM or name in self.witnesses or name in self.groups:
            raise PolicyError(f"{name!r} is already defined")


def _threshold(word: str, members: int) -> int:
    if word == "any":
        return 1
    if word == "all":
        return members
    if word.isascii() and word.isdecimal() and len(word) <= len(str(members)) and 1 <= int(word) <= members:
        return int(word)
    raise PolicyError(f"a threshold is any, all or a number from 1 to {members}")
