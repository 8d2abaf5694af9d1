"""Enrolment over the cable, against a node that speaks the real messages and can lie."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tallystick_fleet import enrol_node as enrolling
from tallystick_fleet.enrol_node import NodeJob, enrol_node
from tallystick_proof import enrolment, keys, statement
from tallystick_proof.errors import EnrolmentError
from tallystick_proof.keys import Signer
from tallystick_provisioning.errors import NodeRefused, SetupError
from tallystick_provisioning.ledger_client import Delivery
from tallystick_provisioning.outbox import Outbox
from tallystick_wire import message
from tallystick_wire.errors import WireError
from tallystick_wire.senml import CHANNELS

SITE_KEY = bytes(range(32))


class Ticks:
    """A clock that moves when it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


class FakeNode:
    """The other end of the cable; a lie is a change to one answer."""

    def __init__(self, signer: Signer, origin: str | None = None) -> None:
        self.signer, self.origin = signer, origin
        self.link_key: bytes | None = None
        self.answers: list[bytes] = []
        self.deaf = 0  # how many questions get lost
        self.lie: Callable[[str, bytes], bytes] = lambda kind, answer: answer
        self.noise: list[bytes] = []

    def unlink(self) -> None:
        self.link_key = None

    def send(self, payload: bytes) -> bool:
        if self.deaf:
            self.deaf -= 1
            return True
        kind = message.kind(payload)
        self.answers += [*self.noise, self.lie(kind, self._answer(kind, payload))]
        return True

    def receive(self) -> list[bytes]:
        heard, self.answers = self.answers, []
        return heard

    def _answer(self, kind: str, payload: bytes) -> bytes:
        if kind == "hello":
            state = "new" if self.origin is None else "enrolled"
            return message.build_node(state, self.signer.public_key, self.origin, b"firmware")
        if kind == "enrol":
            origin, _, nonce = message.open_enrol(payload)
            return self.request(origin=origin, nonce=nonce)
        link = message.open_link(payload)
        if self.origin not in (None, link.origin):
            return message.build_refused("enrolled elsewhere")
        self.link_key, self.origin = link.key, link.origin
        return message.build_linked(self.signer.kid)

    def request(self, origin: str, nonce: bytes, kind: str = "node", signer: Signer | None = None) -> bytes:
        body = {"aud": origin, "jti": bytes(16), "exp": None, "nonce": nonce}
        body |= {"key": self.signer.public_key, "kind": kind}
        return statement.build(signer or self.signer, keys.ENROL_REQUEST, body)


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    return make_world("cable")


@pytest.fixture
def node() -> FakeNode:
    return FakeNode(Signer(keys.NODE, bytes([7]) * 32))


@pytest.fixture
def job(tmp_path: Path, world: Any) -> NodeJob:
    outbox = Outbox(tmp_path / "outbox")
    return NodeJob(world.trust, world.signers["authority-node"], SITE_KEY, outbox, lambda n: bytes(n), Ticks())


def test_a_node_gets_its_identity(job: NodeJob, node: FakeNode, world: Any) -> None:
    made = enrol_node(node, job, "TS-1", "0042")
    (path,) = job.outbox.waiting()
    enrolled = enrolment.check_enrolment(statement.parse(path.read_bytes()), world.trust)
    assert (enrolled.thumbprint, enrolled.kind) == (node.signer.thumbprint, "node")
    assert enrolled.instrument is not None
    assert enrolled.instrument["serial"] == "0042"
    assert enrolled.instrument["firmware"] == b"firmware"
    channels = enrolled.instrument["channels"]
    assert channels["t"] == ["temperature", "Cel"]
    units = {letter: unit for letter, (unit, _) in CHANNELS.items()}
    assert {letter: unit for letter, (_, unit) in channels.pairs} == units, "every letter has its full name"
    assert (node.origin, node.link_key) == (world.origin, message.link_key(SITE_KEY, node.signer.thumbprint))
    assert made.identity.hex() == path.stem


def test_again_is_harmless(job: NodeJob, node: FakeNode) -> None:
    first = enrol_node(node, job, "TS-1", "0042")
    again = enrol_node(node, job, "TS-1", "0042")
    assert again.thumbprint == first.thumbprint


def test_readings_and_noise_do_not_disturb(job: NodeJob, node: FakeNode, world: Any) -> None:
    node.noise = [b"", b"\xff\xff", world.nodes["node-a"].measure().data, message.build_hello()]
    enrol_node(node, job, "TS-1", "0042")


def test_a_lost_question_is_asked_again(job: NodeJob, node: FakeNode) -> None:
    node.deaf = 2
    enrol_node(node, job, "TS-1", "0042")


def test_silence_ends(job: NodeJob, node: FakeNode) -> None:
    node.deaf = 10**6
    with pytest.raises(NodeRefused, match="no node answer within 30 s"):
        enrol_node(node, job, "TS-1", "0042")


def test_a_node_of_another_ledger(job: NodeJob, node: FakeNode) -> None:
    node.origin = "ledger.example/other"
    with pytest.raises(NodeRefused, match=r"lives in the ledger ledger\.example/other"):
        enrol_node(node, job, "TS-1", "0042")
    assert job.outbox.waiting() == []


def test_the_node_refuses(job: NodeJob, node: FakeNode) -> None:
    node.lie = lambda kind, answer: message.build_refused("low battery") if kind == "enrol" else answer
    with pytest.raises(NodeRefused, match="the node says: low battery"):
        enrol_node(node, job, "TS-1", "0042")


def test_the_request_must_be_the_nodes_own_and_fresh(job: NodeJob, node: FakeNode, world: Any) -> None:
    stranger = Signer(keys.NODE, bytes([9]) * 32)
    lies = {
        "names another key": node.request(world.origin, bytes(16), signer=stranger),
        "names another aud": node.request("ledger.example/other", bytes(16)),
        "names another nonce": node.request(world.origin, bytes([1]) * 16),
        "names another kind": node.request(world.origin, bytes(16), kind="gateway"),
        "does not hold": node.request(world.origin, bytes(16))[:-1] + b"\0",
    }
    for complaint, lie in lies.items():
        node.lie = lambda kind, answer, lie=lie: lie if kind == "enrol" else answer  # type: ignore[misc]
        with pytest.raises(NodeRefused, match=complaint):
            enrol_node(node, job, "TS-1", "0042")
    assert job.outbox.waiting() == []
    assert node.link_key is None


def test_another_node_answers_the_link(job: NodeJob, node: FakeNode) -> None:
    node.lie = lambda kind, answer: message.build_linked(bytes(8)) if kind == "link" else answer
    with pytest.raises(NodeRefused, match="another node answered"):
        enrol_node(node, job, "TS-1", "0042")


def test_the_statement_is_kept_before_the_link_key_is_given(
    job: NodeJob, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(data: bytes) -> Path:
        raise OSError("power cut")

    monkeypatch.setattr(job.outbox, "keep", power_cut)
    with pytest.raises(OSError, match="power cut"):
        enrol_node(node, job, "TS-1", "0042")
    assert node.link_key is None


def test_only_the_authority_for_nodes(job: NodeJob, node: FakeNode, world: Any, make_world: Callable[..., Any]) -> None:
    for authority, complaint in (
        (world.signers["authority-gateway"], "enrolled by a key of role authority-node"),
        (make_world("elsewhere").signers["authority-node"], "does not name this authority-node key"),
    ):
        wrong = NodeJob(job.trust, authority, SITE_KEY, job.outbox, job.random_bytes, Ticks())
        with pytest.raises(SetupError, match=complaint):
            enrol_node(node, wrong, "TS-1", "0042")


@pytest.mark.parametrize(("model", "serial"), [("", "1"), ("TS-1", ""), ("x" * 129, "1")])
def test_names_are_bounded(job: NodeJob, node: FakeNode, model: str, serial: str) -> None:
    with pytest.raises(NodeRefused, match="must be 1 to 128 characters"):
        enrol_node(node, job, model, serial)


def test_junk_answers_are_no_answers() -> None:
    for junk in (b"", b"\xd2", b"\x81\x01"):
        with pytest.raises(WireError):
            message.kind(junk)
        assert enrolling._kind(junk) is None


def test_a_key_that_has_an_enrolment_gets_no_other(job: NodeJob, node: FakeNode) -> None:
    """Its ledger would refuse that. It is linked again: the statement may be older than the link."""
    first = enrol_node(node, job, "TS-1", "0042")
    node.unlink()
    again = enrol_node(node, job, "TS-1", "0042")
    assert (again.identity, first.was_enrolled, again.was_enrolled) == (first.identity, False, True)
    assert len(job.outbox.waiting()) == 1
    assert node.link_key is not None
    job.outbox.delivered(job.outbox.waiting()[0])
    listed = replace(job, known={first.thumbprint: first.identity}.get)
    assert enrol_node(node, listed, "TS-1", "0042").identity == first.identity
    assert not job.outbox.waiting()


def test_a_list_that_names_a_node_which_was_never_linked_is_not_believed(job: NodeJob, node: FakeNode) -> None:
    """It may be the list of another ledger: an enrolment too many is refused, one too few is never noticed."""
    listed = replace(job, known=lambda thumbprint: bytes(32))
    assert not enrol_node(node, listed, "TS-1", "0042").was_enrolled
    assert len(job.outbox.waiting()) == 1


def test_a_ledger_that_has_another_enrolment_of_the_key_says_so(job: NodeJob, node: FakeNode, world: Any) -> None:
    """What another laptop made, which has no list: the first one stands, and that is no failure."""
    directory = enrolment.Directory(world.trust)
    enrol_node(node, job, "TS-1", "0042")
    (path,) = job.outbox.waiting()
    directory.add(statement.parse(path.read_bytes()), 1)
    job.outbox.delivered(path)
    enrol_node(node, replace(job, random_bytes=lambda count: b"\2" * count), "TS-1", "0042")
    (path,) = job.outbox.waiting()
    with pytest.raises(EnrolmentError) as caught:
        directory.add(statement.parse(path.read_bytes()), 2)
    assert Delivery(path, None, refused=f"http://ledger says 403: {caught.value}").was_enrolled
    assert not Delivery(path, None, refused="http://ledger says 403: the statement has expired").was_enrolled
