"""What a bundle shows about the ledger: steps 1 to 3 of the walk in `evidence`, and the statements.

Every failure is NotVerified with the link at which the walk stopped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tallystick_proof import archive, bundle, entry, keys, merkle, statement, tlog_proof
from tallystick_proof.bundle import Manifest
from tallystick_proof.enrolment import Directory, EnrolledKey
from tallystick_proof.entry import LedgerEntry
from tallystick_proof.errors import CannotTell, NotVerified, ProofError
from tallystick_proof.policy import Witnessed
from tallystick_proof.statement import Statement
from tallystick_proof.time import MAX_WITNESS_SKEW_MS
from tallystick_proof.trust import Trust
from tallystick_wire.errors import WireError


@dataclass(frozen=True, slots=True)
class Fact:
    """Something stands in the ledger at `index`, under this first published checkpoint."""

    index: int
    witnessed: Witnessed


@dataclass(frozen=True, slots=True)
class VerifiedStatement:
    """A statement whose signature, signer and place in the ledger are proved."""

    statement: Statement
    signer: EnrolledKey
    fact: Fact


class Facts:
    """The members of one bundle under one trust, and which of them the walk has needed."""

    def __init__(self, data: bytes, trust: Trust, *, unwitnessed_ok: bool) -> None:
        self.trust = trust
        self.unwitnessed_ok = unwitnessed_ok
        self.unwitnessed = False  # whether a checkpoint was accepted without its quorum
        self.head_ms: int | None = None  # the newest quorum time in the bundle
        self.used_keys: dict[bytes, EnrolledKey] = {}  # every key whose signature the walk has needed
        self._checkpoints: dict[bytes, Witnessed] = {}
        self._facts: dict[str, Fact] = {}
        with broken("archive", "the bundle"):
            self.members = archive.read(data)
        self._reached = {bundle.MANIFEST}
        self.manifest = self._read_manifest()
        self._statements = self._read_statements()
        self._directory = self._read_keys()

    @property
    def checkpoints(self) -> int:
        """How many different ledger checkpoints the walk has checked."""
        return len(self._checkpoints)

    def member(self, name: str, link: str) -> bytes:
        if name not in self.members:
            raise NotVerified(link, f"{name} is missing")
        return self.members[name]

    def reach(self, stem: str, *suffixes: str) -> None:
        """The walk has needed these members: `stem` with each suffix."""
        self._reached.update(stem + suffix for suffix in suffixes)

    def checkpoint(self, name: str, data: bytes) -> Witnessed:
        """The ledger checkpoint in a note, held against the policy of trust.toml."""
        if data not in self._checkpoints:
            with broken("witness", name):
                witnessed = self.trust.policy.check(data, self.trust.origin)
            if not witnessed.witnessed:
                if not self.unwitnessed_ok:
                    raise NotVerified("witness", f"{name}: not cosigned as trust.toml demands")
                self.unwitnessed = True
            self.head_ms = max(filter(None, (self.head_ms, witnessed.quorum_ms)), default=None)
            self._checkpoints[data] = witnessed
        return self._checkpoints[data]

    def fact(self, stem: str, leaf: LedgerEntry) -> Fact:
        """Where `leaf` stands in the ledger, by the proof beside it."""
        name = stem + ".tlog-proof"
        if name not in self._facts:
            data = self.member(name, "root")
            with broken("root", name):
                proof = tlog_proof.parse(data)
            witnessed = self.checkpoint(name, proof.note)
            head = witnessed.checkpoint
            with broken("root", name):
                merkle.verify_inclusion(leaf.leaf, proof.index, head.size, proof.proof, head.root)
            self._facts[name] = Fact(proof.index, witnessed)
        return self._facts[name]

    def key(self, thumbprint: bytes, kind: str) -> EnrolledKey:
        """The enrolled key of this kind. Its revocations in the bundle become reachable with it."""
        if thumbprint not in self.used_keys:
            stem = bundle.key_stem(thumbprint)
            self.member(stem + ".cose", "enrolment")
            key = self._directory.key(thumbprint)
            if key is None:
                raise NotVerified("enrolment", f"{thumbprint.hex()} is not enrolled")
            self.reach(stem, ".cose", ".tlog-proof")
            for revocation in self.statements(keys.REVOCATION):
                if revocation.body["thumbprint"] == thumbprint:
                    self.reach(bundle.statement_stem(revocation.identity), ".cose", ".tlog-proof")
            self.used_keys[thumbprint] = key
        if self.used_keys[thumbprint].kind != kind:
            raise NotVerified("enrolment", f"{thumbprint.hex()} is not enrolled as {kind}")
        return self.used_keys[thumbprint]

    def statements(self, kind: str) -> list[Statement]:
        """Every statement of this kind in the bundle, parsed only: `statement` verifies one."""
        return [found for found in self._statements.values() if found.kind == kind]

    def statement(self, identity: bytes, kind: str, signer: bytes | None = None) -> VerifiedStatement:
        """A statement of this kind, signed by that thumbprint (None: by the enrolled key that its kid names)."""
        stem = bundle.statement_stem(identity)
        self.member(stem + ".cose", "statement")
        found = self._statements[identity]
        if found.kind != kind:
            raise NotVerified("statement", f"{stem} is a {found.kind}, a {kind} is needed")
        fact = self.fact(stem, LedgerEntry(entry.STATEMENT, found.data))
        key = self._directory.by_kid(found.kid)
        if key is None or (signer is not None and key.thumbprint != signer):
            raise NotVerified("enrolment", f"the key {found.kid.hex()} that signed {stem} is not the one it must be")
        with broken("statement", stem):
            self._directory.signer(found, fact.index)
        _check_expiry(found, fact, "statement")
        self.reach(stem, ".cose", ".tlog-proof")
        return VerifiedStatement(found, self.key(key.thumbprint, key.kind), fact)

    def as_of(self, number: int) -> Witnessed:
        """The cosigned checkpoint on which decision `number` was made."""
        name = bundle.asof_name(number)
        witnessed = self.checkpoint(name, self.member(name, "as-of"))
        self.reach(name, "")
        return witnessed

    def check_all_reached(self) -> None:
        """Step 8: nothing in the bundle is left over."""
        for name in self.members:
            if name not in self._reached:
                raise NotVerified("unreachable", f"{name} is not reachable from the subject")

    def _read_manifest(self) -> Manifest:
        with broken("manifest", bundle.MANIFEST):
            manifest = Manifest.decode(self.member(bundle.MANIFEST, "manifest"))
        if manifest.origin != self.trust.origin:
            detail = f"the bundle is about {manifest.origin!r}, trust.toml about {self.trust.origin!r}"
            raise NotVerified("trust", detail)
        return manifest

    def _read_statements(self) -> dict[bytes, Statement]:
        found: dict[bytes, Statement] = {}
        for name, data in self.members.items():
            if name.startswith("statement-") and name.endswith(".cose"):
                parsed = _parse(name, data, "statement")
                if bundle.statement_stem(parsed.identity) + ".cose" != name:
                    raise NotVerified("statement", f"{name} holds the statement {parsed.identity.hex()}")
                found[parsed.identity] = parsed
        return found

    def _read_keys(self) -> Directory:
        """The enrolments and revocations of the bundle, applied in the order of the ledger."""
        changes = [(bundle.statement_stem(parsed.identity), parsed) for parsed in self.statements(keys.REVOCATION)]
        for name, data in self.members.items():
            if name.startswith("key-") and name.endswith(".cose"):
                parsed = _parse(name, data, "enrolment")
                stem = name.removesuffix(".cose")
                with broken("enrolment", name):
                    if parsed.kind != keys.ENROLMENT or bundle.key_stem(keys.thumbprint(parsed.body["key"])) != stem:
                        raise NotVerified("enrolment", f"{name} does not enrol that key")
                changes.append((stem, parsed))
        facts = [(self.fact(stem, LedgerEntry(entry.STATEMENT, parsed.data)), stem, parsed) for stem, parsed in changes]
        directory = Directory(self.trust)
        for fact, stem, parsed in sorted(facts, key=lambda item: item[0].index):
            _check_expiry(parsed, fact, "enrolment")
            with broken("enrolment", stem):
                directory.add(parsed, fact.index, fact.witnessed.quorum_ms)
        return directory


@contextmanager
def broken(link: str, name: str) -> Iterator[None]:
    """The one place where a refusal of a part becomes the walk's end at `link`."""
    try:
        yield
    except (NotVerified, CannotTell):
        raise
    except (ProofError, WireError) as error:
        raise NotVerified(link, f"{name}: {error}") from error


def _check_expiry(found: Statement, fact: Fact, link: str) -> None:
    """Who signs with an expiry does not want it logged, and used, years later."""
    expiry_ms, logged_ms = found.body["exp"], fact.witnessed.earliest_ms
    if expiry_ms is not None and logged_ms is not None and logged_ms > expiry_ms + MAX_WITNESS_SKEW_MS:
        raise NotVerified(link, f"the {found.kind} {found.identity.hex()} had expired before it was logged")


def _parse(name: str, data: bytes, link: str) -> Statement:
    with broken(link, name):
        parsed = statement.parse(data)
    if parsed.data != data:
        raise NotVerified(link, f"{name} has an unprotected header")
    return parsed
