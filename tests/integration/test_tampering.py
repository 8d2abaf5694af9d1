"""Whatever is changed in a bundle, it is never verified, and each refusal names the link that broke."""

import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tallystick_finance import decide as core
from tallystick_proof import archive, bundle, entry, keys, note, statement, tlog_proof
from tallystick_proof.evidence import LINKS
from tallystick_proof.keys import Signer
from tallystick_proof.policy import Policy, Witnessed
from tallystick_proof.trust import Trust
from tallystick_tools.outcome import CANNOT_TELL, NOT_VERIFIED, VERIFIED, Outcome, walk
from tallystick_wire import cose, reading

if TYPE_CHECKING:
    from tests.conftest import Loan, Story, World

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("firmware", "cloud-sync", "provisioning", "edge", "tools")
COMMAND_SAMPLES = 30
FLIPS = (0x01, 0x80, 0xFF)  # the lowest bit, the highest, and all of them


@pytest.fixture(scope="module")
def bundles(world: "Story") -> dict[str, bytes]:
    return {
        "reading": world.reading_bundle("node-a", 2),
        "window": world.window_bundle("node-b", 3, 8),
        "decision": world.decision_bundle(world.loan, 1),
    }


@pytest.fixture(scope="module")
def remembered() -> Iterator[None]:
    """The real pure functions, each asked once for the same bytes: half a million walks in a minute."""
    patch = pytest.MonkeyPatch()
    for module, name in (
        (keys, "verify_signature"),
        (statement, "parse"),
        (reading, "parse"),
        (note, "parse"),
        (tlog_proof, "parse"),
        (cose, "sig_structure"),
        (entry.GatewayEntry, "decode"),
    ):
        patch.setattr(module, name, functools.lru_cache(maxsize=4096)(getattr(module, name)))
    checked: dict[tuple[int, bytes, str], Witnessed] = {}
    check = Policy.check

    def check_once(asked: Policy, data: bytes, origin: str) -> Witnessed:
        at = (id(asked), data, origin)
        if at not in checked:
            checked[at] = check(asked, data, origin)
        return checked[at]

    patch.setattr(Policy, "check", check_once)
    yield
    patch.undo()


def refused(outcome: Outcome) -> str:
    """The link at which the walk stopped; fails when it did not."""
    assert outcome.code != VERIFIED
    if outcome.broken is None:
        assert outcome.missing
        return "cannot tell"
    link, detail = outcome.broken
    assert link in LINKS
    assert detail
    return link


def flipped(data: bytes, at: int, bits: int) -> bytes:
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def replaced(members: Mapping[str, bytes], name: str, content: bytes) -> bytes:
    return archive.write({**members, name: content})


def role(name: str) -> str:
    """What kind of member it is: key .cose, batch .range, ..."""
    return f"{name.partition('-')[0]}.{name.rpartition('.')[2]}"


# --- every byte


@pytest.mark.parametrize("kind", ["reading", "window", "decision"])
def test_every_byte_of_the_archive(world: "Story", bundles: dict[str, bytes], kind: str) -> None:
    data = bundles[kind]
    assert walk(data, world.trust).code == VERIFIED
    for at in range(len(data)):
        for bits in FLIPS:
            assert refused(walk(flipped(data, at, bits), world.trust)) == "archive"


@pytest.mark.parametrize(("kind", "flips"), [("reading", FLIPS), ("window", FLIPS[:1]), ("decision", FLIPS[:1])])
@pytest.mark.usefixtures("remembered")
def test_every_byte_of_every_member(
    world: "Story", bundles: dict[str, bytes], kind: str, flips: tuple[int, ...]
) -> None:
    """With the archive rebuilt and every checksum right: what is left to find the change are signatures and proofs."""
    members = archive.read(bundles[kind])
    links: dict[str, set[str]] = {}
    for name, content in members.items():
        for at in range(len(content)):
            for bits in flips:
                data = replaced(members, name, flipped(content, at, bits))
                links.setdefault(role(name), set()).add(refused(walk(data, world.trust)))
    assert all(found <= set(LINKS) | {"cannot tell"} for found in links.values())
    assert "witness" in links["anchor.checkpoint"]
    assert "gateway-signature" in links["batch.checkpoint"]
    assert "root" in links["batch.entries"]
    assert "enrolment" in links["key.cose"]


@pytest.mark.parametrize("kind", ["reading", "window", "decision"])
@pytest.mark.usefixtures("remembered")
def test_every_member_one_byte_longer_or_shorter(world: "Story", bundles: dict[str, bytes], kind: str) -> None:
    members = archive.read(bundles[kind])
    for name, content in members.items():
        for changed in (content + b"\n", content + b"\0", content[:-1], b"\0" + content, content[1:], b""):
            refused(walk(replaced(members, name, changed), world.trust))


# --- whole members


@pytest.mark.parametrize("kind", ["reading", "window", "decision"])
def test_each_member_removed(world: "Story", bundles: dict[str, bytes], kind: str) -> None:
    members = archive.read(bundles[kind])
    for name in members:
        data = archive.write({other: content for other, content in members.items() if other != name})
        outcome = walk(data, world.trust)
        refused(outcome)
        assert outcome.code == NOT_VERIFIED


@pytest.mark.parametrize("kind", ["reading", "window", "decision"])
def test_each_member_swapped_with_another_of_its_kind(world: "Story", bundles: dict[str, bytes], kind: str) -> None:
    members = archive.read(bundles[kind])
    swaps = 0
    for left, right in itertools.combinations(members, 2):
        if left.rpartition(".")[2] == right.rpartition(".")[2] and members[left] != members[right]:
            swaps += 1
            refused(walk(archive.write({**members, left: members[right], right: members[left]}), world.trust))
            refused(walk(replaced(members, left, members[right]), world.trust))
    assert swaps > len(members) / 4


@pytest.mark.parametrize("kind", ["reading", "window", "decision"])
def test_each_member_from_a_bundle_of_another_world(
    world: "Story", make_story: "Callable[..., Story]", bundles: dict[str, bytes], kind: str
) -> None:
    other = make_story("south")
    foreign = {
        "reading": other.reading_bundle("node-a", 2),
        "window": other.window_bundle("node-b", 3, 8),
        "decision": other.decision_bundle(other.loan, 1),
    }[kind]
    members, strange = archive.read(bundles[kind]), archive.read(foreign)
    assert walk(foreign, other.trust).code == VERIFIED
    for name, content in strange.items():
        refused(walk(archive.write({**members, name: content}), world.trust))
        for own in members:
            if role(own) == role(name) and members[own] != content:
                refused(walk(replaced(members, own, content), world.trust))
    refused(walk(foreign, world.trust))


def test_each_member_from_another_bundle_of_the_same_world(world: "Story", bundles: dict[str, bytes]) -> None:
    """The same fact has the same bytes everywhere; everything else is refused, even where it is true."""
    for kind, other in itertools.permutations(bundles, 2):
        members, strange = archive.read(bundles[kind]), archive.read(bundles[other])
        for name, content in strange.items():
            if members.get(name) != content:
                refused(walk(archive.write({**members, name: content}), world.trust))


def test_a_member_that_nobody_needs(world: "Story", bundles: dict[str, bytes]) -> None:
    for data in bundles.values():
        for name in ("readme.txt", "anchor-1.checkpoint", "asof-7.checkpoint", "key-00.cose.txt", "statement-1.txt"):
            assert refused(walk(replaced(archive.read(data), name, b"hello"), world.trust)) == "unreachable"


# --- another trust


def test_another_trust(make_story: "Callable[..., Story]", bundles: dict[str, bytes]) -> None:
    other = make_story("south")
    for data in bundles.values():
        assert refused(walk(data, other.trust)) == "trust"


@pytest.mark.parametrize(
    ("who", "link"),
    [
        ("w2", "witness"),
        ("ledger", "witness"),
        ("authority-node", "enrolment"),
        ("authority-gateway", "enrolment"),
        ("authority-organisation", "enrolment"),
        ("authority-installer", "enrolment"),
        ("authority-decision", "enrolment"),
    ],
)
def test_a_trust_that_knows_another_key(world: "Story", bundles: dict[str, bytes], who: str, link: str) -> None:
    """trust.toml with one key exchanged for a stranger's."""
    known = world.signers[who]
    stranger = Signer(known.role, b"\x42" * 32)
    text = world.trust_text().replace(known.public_key.hex(), stranger.public_key.hex())
    for key_type in (note.TYPE_ED25519, note.TYPE_COSIGNATURE):
        for name in (world.origin, f"{who}.example/{world.name}"):
            old, new = (note.VerifierKey(name, key_type, key.public_key).vkey for key in (known, stranger))
            text = text.replace(old, new)
    assert text != world.trust_text()
    assert refused(walk(bundles["decision"], Trust.parse(text))) == link


def test_a_cosignature_of_a_witness_that_the_policy_does_not_name(world: "Story", bundles: dict[str, bytes]) -> None:
    """A quorum without it is met, and it is refused all the same: its bytes would be free."""
    lines = world.trust_text("1").splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("witness w2")).replace("1 w1 w2", "1 w1")
    assert refused(walk(bundles["reading"], Trust.parse(text))) == "witness"


# --- the decision chain


def decided(make_world: "Callable[..., World]", alter: "Callable[[World, Loan, bytes], Any]") -> Outcome:
    """A warm world whose second decision is made by `alter`; the operator logs and proves whatever comes of it."""
    world = make_world("east")
    loan = world.lend()
    world.anchor()
    for _ in range(12):
        world.minute(900)
    world.decide(loan, world.sync())
    world.now_ms += 300 * 60_000
    world.minute(440)
    alter(world, loan, world.sync())
    world.publish()
    return walk(world.decision_bundle(loan, len(loan.decisions) - 1), world.trust)


def lie(**changes: Any) -> "Callable[[World, Loan, bytes], Any]":
    return lambda world, loan, as_of: world.decide(loan, as_of, **changes)


def test_an_honest_chain(make_world: "Callable[..., World]") -> None:
    assert decided(make_world, lie()).code == VERIFIED


@pytest.mark.parametrize(
    ("changes", "link"),
    [
        ({"effects": []}, "effects"),
        ({"effects": [["haircut", 5_001]]}, "effects"),
        ({"state_before": bytes(32)}, "state-before"),
        ({"state_after": bytes(32)}, "state-after"),
        ({"rules": bytes(32)}, "rules"),
        ({"previous": None}, "decision"),
        ({"previous": bytes(32)}, "decision"),
        ({"n": 2}, "decision"),
        ({"n": 0}, "decision"),
        ({"subject": bytes(32)}, "decision"),
        ({"as_of": [15, 1_760_018_975_001]}, "as-of"),
        ({"as_of": [14, 1_760_018_975_000]}, "as-of"),
        ({"exp": 1}, "statement"),
        ({"aud": "ledger.example/west"}, "statement"),
        ({"event": core.event_value({})}, "effects"),
    ],
)
def test_a_signed_lie_in_a_decision(make_world: "Callable[..., World]", changes: dict[str, Any], link: str) -> None:
    """The decision key signs it and the operator logs it: recomputation finds it."""
    found = refused(decided(make_world, lie(**changes)))
    # Decisions that do not count are left over, unless something before them is missing.
    assert found == link or (link == "decision" and found == "unreachable")


def test_a_decision_of_another_key(make_world: "Callable[..., World]") -> None:
    def forged(world: "World", loan: "Loan", as_of: bytes) -> None:
        world.signers["decider-2"] = Signer(keys.DECISION, b"\x17" * 32)
        world.enrolments["decider-2"] = world.enrol("decider-2")
        world.publish()
        world.signers["decider"], genuine = world.signers["decider-2"], world.signers["decider"]
        world.decide(loan, as_of)
        world.signers["decider"] = genuine

    assert refused(decided(make_world, forged)) == "enrolment"


def test_an_unsigned_decision(make_world: "Callable[..., World]") -> None:
    def unsigned(world: "World", loan: "Loan", as_of: bytes) -> None:
        made = world.decide(loan, as_of)
        signed = cose.split(world.statements[made.identity][0])
        data = cose.assemble(signed.protected, signed.payload, bytes(64))
        made.identity = cose.identity(data)
        world.statements[made.identity] = (data, world.ledger.log(entry.STATEMENT, data))

    assert refused(decided(make_world, unsigned)) == "statement"


def test_a_shortened_or_reordered_chain(world: "Story") -> None:
    whole = archive.read(world.decision_bundle(world.loan, 1))
    first, second = (bundle.statement_stem(one.identity) for one in world.loan.decisions)
    for gone in (first, second):
        data = archive.write({name: content for name, content in whole.items() if not name.startswith(gone)})
        assert refused(walk(data, world.trust)) == "decision"
    shorter = bundle.Manifest("decision", (world.loan.pledge, 0), world.origin).encode()
    assert refused(walk(replaced(whole, bundle.MANIFEST, shorter), world.trust)) == "unreachable"
    longer = bundle.Manifest("decision", (world.loan.pledge, 2), world.origin).encode()
    assert refused(walk(replaced(whole, bundle.MANIFEST, longer), world.trust)) == "decision"
    swapped = {
        **whole,
        bundle.asof_name(0): whole[bundle.asof_name(1)],
        bundle.asof_name(1): whole[bundle.asof_name(0)],
    }
    assert refused(walk(archive.write(swapped), world.trust)) == "as-of"


def test_a_decision_that_leaves_readings_out(make_world: "Callable[..., World]") -> None:
    """A warm reading cannot be skipped: the chain breaks behind it, whatever the event says."""

    def skips(world: "World", loan: "Loan", _: bytes) -> None:
        world.minute(900)
        nodes = [world.signers[name].thumbprint for name in loan.nodes]
        world.decide(loan, world.sync(), event=core.event_value(dict.fromkeys(nodes, (14, 14))))

    assert refused(decided(make_world, skips)) == "chain"


# --- real commands


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, world: "Story", bundles: dict[str, bytes]) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    (folder / "trust.toml").write_text(world.trust_text(), "utf-8")
    for kind, data in bundles.items():
        (folder / f"{kind}.zip").write_bytes(data)
    return folder


def command(*arguments: str, before: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", "tallystick_tools", "verify", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | environment,
    )


def test_commands_without_a_network(files: Path, world: "Story", bundles: dict[str, bytes], tmp_path: Path) -> None:
    """Real processes in an empty network namespace: good bundles pass, tampered ones do not, and nothing is traced."""
    without = ("unshare", "-rn")
    trust = ("--trust", str(files / "trust.toml"))
    for kind in bundles:
        done = command(str(files / f"{kind}.zip"), *trust, before=without)
        assert (done.returncode, done.stderr) == (VERIFIED, "")
        assert "NOT proved" in done.stdout
    for sample, (kind, data) in zip(range(COMMAND_SAMPLES), itertools.cycle(bundles.items()), strict=False):
        members = archive.read(data)
        name = sorted(members)[sample % len(members)]
        at = (sample * 131) % len(members[name])
        if sample % 4:
            tampered = replaced(members, name, flipped(members[name], at, FLIPS[sample % 3]))
        else:
            tampered = flipped(data, (sample * 7919) % len(data), 0x01)
        path = tmp_path / f"{sample}-{kind}.zip"
        path.write_bytes(tampered)
        done = command(str(path), *trust, before=without)
        assert done.returncode in (NOT_VERIFIED, CANNOT_TELL)
        assert "Traceback" not in done.stdout + done.stderr
        assert re.search(rf"broken link: ({'|'.join(LINKS)})\n", done.stdout) or done.returncode == CANNOT_TELL


def test_verify_opens_no_socket(files: Path) -> None:
    """Twice: the interpreter's own audit events, and the system calls."""
    bundle_path, trust = str(files / "decision.zip"), str(files / "trust.toml")
    watched = (
        "import sys\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith('socket.') else None)\n"
        "from pathlib import Path\n"
        "from tallystick_tools.verify import verify\n"
        f"code = verify(Path({bundle_path!r}), trust=Path({trust!r}), report=Path({str(files / 'page.html')!r}))\n"
        "print(seen, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (VERIFIED, "[]\n")
    trace = ("strace", "-f", "-qq", "-e", "trace=network", "-e", "signal=none")
    traced = command(bundle_path, "--trust", trust, before=trace)
    assert (traced.returncode, traced.stderr) == (VERIFIED, "")


def test_recomputation_is_real(files: Path, tmp_path: Path) -> None:
    """A copy of the program with one comparison of the decision core changed refuses the old bundle, at the effects."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = os.pathsep.join(str(tmp_path / name) for name in SOURCES)
    arguments = (str(files / "decision.zip"), "--trust", str(files / "trust.toml"))
    core_file = tmp_path / "cloud-sync" / "tallystick_finance" / "decide.py"
    source = core_file.read_text("utf-8")
    same = command(*arguments, PYTHONPATH=path)
    assert same.returncode == VERIFIED
    for function, comparison in (("_is_warm", " > "), ("_judge", " >= ")):
        before, _, after = source.partition(f"def {function}(")
        assert comparison in after.partition("\ndef ")[0]
        core_file.write_text(f"{before}def {function}({after.replace(comparison, ' < ', 1)}", "utf-8")
        done = command(*arguments, PYTHONPATH=path)
        assert done.returncode == NOT_VERIFIED
        assert "broken link: effects\n" in done.stdout
