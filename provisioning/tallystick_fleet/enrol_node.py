"""Give a connected node its identity: hello -> enrol -> link.

The node makes its key itself and never shows it. It hands over a request signed with it; the authority answers with an
enrolment; the link key that the node gets over the cable protects acks and anchors only.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tallystick_proof import keys, statement
from tallystick_proof.trust import Trust
from tallystick_provisioning import enrolments
from tallystick_provisioning.errors import NodeRefused
from tallystick_provisioning.outbox import Outbox
from tallystick_provisioning.update_keys import NO_UPDATES, UpdateKeys
from tallystick_wire import message
from tallystick_wire.errors import WireError

ANSWER_TIMEOUT_S = 30.0  # a signature takes seconds on the smallest boards
ASK_AGAIN_S = 5.0  # a question that a node lost at boot is asked again
MAX_INSTRUMENT_CHARACTERS = 128  # model and serial, as on the name plate


class Cable(Protocol):
    """Whole payloads over a cable. receive() waits a moment and returns what arrived."""

    def send(self, payload: bytes) -> bool: ...

    def receive(self) -> list[bytes]: ...


@dataclass(frozen=True, slots=True)
class NodeJob:
    """What an installer brings to every node of a site."""

    trust: Trust
    authority: keys.Signer
    site_key: bytes
    outbox: Outbox
    random_bytes: Callable[[int], bytes]
    monotonic: Callable[[], float] = time.monotonic
    update_keys: UpdateKeys = NO_UPDATES
    known: Callable[[bytes], bytes | None] = lambda thumbprint: None  # identity of its enrolment, where there is one


@dataclass(frozen=True, slots=True)
class EnrolledNode:
    """A node that took its link key; its enrolment waits in the outbox, or was found (`was_enrolled`)."""

    public_key: bytes
    thumbprint: bytes
    identity: bytes  # of the enrolment statement
    was_enrolled: bool = False


def enrol_node(
    cable: Cable, job: NodeJob, model: str, serial: str, extra: enrolments.NodeExtra = enrolments.NO_EXTRA
) -> EnrolledNode:
    """Enrol the node at the other end of the cable; NodeRefused names what does not hold. May be repeated.

    A key that has an enrolment here gets no other one, which its ledger would refuse: it is linked again, and that the
    node takes this link key shows that it is of this site.
    """
    for field, text in (("model", model), ("serial", serial)):
        if not 0 < len(text) <= MAX_INSTRUMENT_CHARACTERS:
            raise NodeRefused(f"{field} must be 1 to {MAX_INSTRUMENT_CHARACTERS} characters")
    enrolments.check_authority(job.authority, job.trust, "node")
    origin, pen = job.trust.origin, job.trust.pen
    node = say_hello(cable, job.monotonic)
    if node.origin not in (None, origin):
        raise NodeRefused(f"this node lives in the ledger {node.origin}; a key lives in one ledger only")

    thumbprint = keys.thumbprint(node.public_key)
    # A node that was never linked may stand in the list of another ledger: then only what waits here counts.
    listed = None if node.origin is None else job.known(thumbprint)
    known = listed or job.outbox.enrolment_of(node.public_key, origin)
    # Statement first, link key second. A crash in between leaves a statement for a node that is not linked yet:
    # enrolling it again is harmless. The other order could leave a node that works and that no ledger will ever know.
    identity = known or _make_enrolment(cable, job, node, model, serial, extra)
    key = message.link_key(job.site_key, thumbprint)
    link = message.build_link(key, origin, pen, job.update_keys.downlink, job.update_keys.firmware)
    answer = ask(cable, link, "linked", job.monotonic)
    if message.open_linked(answer) != keys.kid(node.public_key):
        raise NodeRefused("another node answered: connect one node at a time")
    return EnrolledNode(node.public_key, thumbprint, identity, known is not None)


def _make_enrolment(
    cable: Cable, job: NodeJob, node: message.Node, model: str, serial: str, extra: enrolments.NodeExtra
) -> bytes:
    """The identity of a new enrolment, which is in the outbox when this returns."""
    origin, pen = job.trust.origin, job.trust.pen
    nonce = job.random_bytes(message.NONCE_BYTES)
    request = ask(cable, message.build_enrol(origin, pen, nonce), "enrol-request", job.monotonic)
    asked = enrolments.check_request(request, origin, node.public_key, nonce)
    instrument = enrolments.node_instrument(model, serial, node.firmware_hash, extra)
    enrolment = enrolments.enrolment(
        job.authority, job.trust, asked.data, job.random_bytes, instrument, extra.commitment
    )
    job.outbox.keep(enrolment)
    return statement.parse(enrolment).identity


def say_hello(
    cable: Cable, monotonic: Callable[[], float] = time.monotonic, timeout_s: float = ANSWER_TIMEOUT_S
) -> message.Node:
    """Which node is at the other end."""
    return message.open_node(ask(cable, message.build_hello(), "node", monotonic, timeout_s))


def ask(
    cable: Cable,
    question: bytes,
    answer_kind: str,
    monotonic: Callable[[], float],
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> bytes:
    """Send `question` until an answer of that kind comes. Readings and noise in between are not for us."""
    deadline = monotonic() + timeout_s
    while monotonic() < deadline:
        cable.send(question)
        ask_again = min(deadline, monotonic() + ASK_AGAIN_S)
        while monotonic() < ask_again:
            for payload in cable.receive():
                found = _kind(payload)
                if found == "refused":
                    raise NodeRefused(f"the node says: {message.open_refused(payload)}")
                if found == answer_kind:
                    return payload
    raise NodeRefused(f"no {answer_kind} answer within {timeout_s:.0f} s: is the node running and connected?")


def _kind(payload: bytes) -> str | None:
    try:
        return message.kind(payload)
    except WireError:
        return None
