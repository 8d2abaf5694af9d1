"""Bring one offer to the node at the other end of a cable. Unplugged in between: the next push goes on from there."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tallystick_fleet.enrol_node import Cable, ask, say_hello
from tallystick_proof import keys
from tallystick_provisioning.errors import NodeRefused
from tallystick_provisioning.offers import Offer, Talk
from tallystick_wire import manifest, message, transfer

AFTER_ALL_TIME_MS = manifest.MAX_TIME_MS
SILENCE_S = 60.0  # a small board unpacks an image for some seconds; after a minute nobody is there


@dataclass(frozen=True, slots=True)
class Pushed:
    """How it ended: the node's `word`, whether that is good news, and how many pieces were sent in this push.

    `firmware`: the hash of what the node ran when it was asked, before the push.
    """

    kid: bytes
    word: str
    is_good: bool
    pieces: int
    firmware: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """What a node said of an offer that it was not given: its `word` for it, and the hash of what it runs."""

    word: str
    firmware: bytes


def ask_about(
    cable: Cable, one: Offer, site_key: bytes, timeout_s: float, *, monotonic: Callable[[], float] = time.monotonic
) -> Asked:
    """Whether the node has the offer, which it is shown as after the end of all time: it takes nothing that late.

    Its word is `current` or `on-trial`, `updates_old` when it has a later one, `updates_expired` when it would take it.
    """
    if one.manifest.expires_ms >= AFTER_ALL_TIME_MS:
        raise NodeRefused("the offer never expires: a node can only be given it")
    node = say_hello(cable, monotonic, timeout_s)
    key = message.link_key(site_key, keys.thumbprint(node.public_key))
    shown = transfer.build_offer(key, AFTER_ALL_TIME_MS, one.data)
    identity, word = transfer.open_outcome(ask(cable, shown, "outcome", monotonic, timeout_s))
    if identity != one.manifest.identity:
        raise NodeRefused("the node answered about another offer: somebody else updates it now")
    return Asked(word, node.firmware_hash)


def push(
    cable: Cable,
    one: Offer,
    site_key: bytes,
    progress: Callable[[int, int], None] = lambda done, all_of_them: None,
    *,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    monotonic: Callable[[], float] = time.monotonic,
) -> Pushed:
    """Offer until the node says how it ended. `progress(chunks that the node has, chunks in all)`."""
    node = say_hello(cable, monotonic)
    if node.origin is None:
        raise NodeRefused("this node is not enrolled: it has nobody's keys to take updates from")
    kid = keys.kid(node.public_key)
    talk = Talk(message.link_key(site_key, keys.thumbprint(node.public_key)), [one])
    heard_s = monotonic()
    while monotonic() < heard_s + SILENCE_S:
        question = talk.due(now_ms(), monotonic())
        if question is not None:
            cable.send(question)
        for payload in cable.receive():
            answer = talk.hear(payload, monotonic())
            if answer is not None:
                heard_s = monotonic()
                cable.send(answer)
                _, index, _ = transfer.open_chunk(answer)
                progress(max(index, 0), one.manifest.chunk_count)
            word = talk.outcomes.get(one.manifest.identity)
            if word is not None:
                return Pushed(kid, word, word in transfer.GOOD_OUTCOMES, talk.sent, node.firmware_hash)
    raise NodeRefused(f"the node has been silent for {SILENCE_S:.0f} s; what it has it keeps: push again")
