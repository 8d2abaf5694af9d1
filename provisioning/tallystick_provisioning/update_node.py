"""Bring one offer to the node at the other end of a cable. Unplugged in between: the next push goes on from there."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tallystick_proof import keys
from tallystick_provisioning.enrol_node import Cable, say_hello
from tallystick_provisioning.errors import NodeRefused
from tallystick_provisioning.offers import Offer, Talk
from tallystick_wire import message, transfer

SILENCE_S = 60.0  # a small board unpacks an image for some seconds; after a minute nobody is there


@dataclass(frozen=True, slots=True)
class Pushed:
    """How it ended: the node's `word`, whether that is good news, and how many pieces were sent in this push."""

    kid: bytes
    word: str
    is_good: bool
    pieces: int


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
                return Pushed(kid, word, word in transfer.GOOD_OUTCOMES, talk.sent)
    raise NodeRefused(f"the node has been silent for {SILENCE_S:.0f} s; what it has it keeps: push again")
