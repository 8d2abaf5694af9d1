"""Hostile bytes for the node: whatever arrives, nothing it holds changes, it is counted, and the node goes on."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Self, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from update_support import config, now_ms

from tallystick_node import app, inbox
from tallystick_node.board_memory import MemoryBoard
from tallystick_node.link import StreamLink
from tallystick_node.node import Node
from tallystick_wire import cbor, frame, message, transfer

ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))
READINGS = 25
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)
NAMES = ("ack", "anchor", "hello", "node", "enrol", "link", "linked", "refused", "identify")


@dataclass
class Watched:
    """A node with readings, and everything about it that must not change."""

    board: MemoryBoard
    node: Node

    def state(self) -> tuple[Any, ...]:
        node, chain = self.node, self.node.chain
        assert chain is not None
        assert node.config is not None
        return (
            dict(self.board.memory.files),
            list(self.board.log),
            (node.config.origin, node.config.pen, node.config.link_key),
            (chain.reserve.bound, chain.reserve.last, chain.reserve.link, chain.reserve.highest),
            (chain._anchor, chain._newest_anchor_size),
            [node.store.get(seq) for seq in node.store.pending(1000)],
        )

    def counted(self) -> int:
        return sum(self.node.all_counts().values())


def fresh() -> Watched:
    board = MemoryBoard()
    node = app.wake(board)
    inbox.answer(node, message.build_link(LINK_KEY, ORIGIN, PEN), 0)
    for number in range(READINGS):
        node.take_reading(100 * number)
        node.store_batch(100 * number)
    return Watched(board, node)


@pytest.fixture(scope="module")
def watched() -> Watched:
    return fresh()


def check(watched: Watched, payload: bytes) -> None:
    """Hand it over: an answer, or exactly one more count; never a change."""
    before, counted = watched.state(), watched.counted()
    reply = inbox.answer(watched.node, payload, 10_000)
    assert watched.state() == before
    if reply is None:
        assert watched.counted() == counted + 1
    else:
        assert message.kind(reply) in ("node", "refused", "enrol-request")


@given(payload=st.binary(max_size=400))
@settings(max_examples=600, deadline=None)
def test_noise(watched: Watched, payload: bytes) -> None:
    check(watched, payload)


@given(name=st.sampled_from(NAMES), fields=st.lists(VALUES, max_size=6))
@settings(max_examples=500, deadline=None)
def test_well_formed_messages_with_wrong_fields(watched: Watched, name: str, fields: list[Any]) -> None:
    check(watched, cbor.encode([name, *fields]))


@given(fields=st.lists(VALUES, min_size=4, max_size=4), kid=st.booleans())
@settings(max_examples=300, deadline=None)
def test_acks_without_the_key(watched: Watched, fields: list[Any], kid: bool) -> None:
    check(watched, cbor.encode([watched.node.kid if kid else b"x" * 8, *fields]))


def good_messages(node: Node) -> list[bytes]:
    return [
        message.build_ack(LINK_KEY, node.kid, 1, 20, [(3, 4), (9, 9)]),
        message.build_anchor(LINK_KEY, 77, bytes(16)),
        message.build_link(LINK_KEY, ORIGIN, PEN),
        transfer.build_offer(LINK_KEY, now_ms(), config().data),
    ]


@pytest.mark.parametrize("number", range(4))
def test_every_flipped_bit_of_a_good_message(watched: Watched, number: int) -> None:
    good = good_messages(watched.node)[number]
    for bit in range(8 * len(good)):
        payload = bytearray(good)
        payload[bit // 8] ^= 1 << bit % 8
        check(watched, bytes(payload))
    for length in range(len(good)):
        check(watched, good[:length])


def test_the_good_messages_do_something() -> None:
    """The control: what the other tests alter would have worked."""
    for number in range(2):
        watched = fresh()
        before = watched.state()
        inbox.answer(watched.node, good_messages(watched.node)[number], 0)
        assert watched.state() != before
    node = app.wake(MemoryBoard())
    reply = inbox.answer(node, good_messages(node)[2], 0)
    assert reply is not None
    assert message.kind(reply) == "linked"


class Line:
    """A StreamLink, and the far end of what it reads."""

    def __enter__(self) -> Self:
        node_end, self._far_end = os.pipe()
        os.set_blocking(node_end, False)
        # Unbuffered files answer None like MicroPython's.
        self._reader = cast(BinaryIO, os.fdopen(node_end, "rb", buffering=0))
        self.link = StreamLink(self._reader, self._reader)
        return self

    def say(self, data: bytes) -> None:
        os.write(self._far_end, data)

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        os.close(self._far_end)


@given(chunks=st.lists(st.binary(max_size=300), max_size=12))
@settings(max_examples=300, deadline=None)
def test_noise_on_the_line(watched: Watched, chunks: list[bytes]) -> None:
    """Frames that are none, cut at any place; a good frame behind the next zero is still heard."""
    answers = []
    before = watched.state()
    stream = b"".join(chunks) + b"\0" + frame.encode(message.build_hello())
    with Line() as line:
        for start in range(0, len(stream), 37):
            line.say(stream[start : start + 37])
            answers += [inbox.answer(watched.node, payload, 0) for payload in line.link.receive()]
    assert watched.state() == before
    assert answers
    assert answers[-1] is not None
    assert message.kind(answers[-1]) == "node"


DEEP: list[tuple[str, Callable[[], bytes]]] = [
    ("nested arrays", lambda: b"\x81" * 1100 + b"\x00"),
    ("nested tags", lambda: b"\xc1" * 1100 + b"\x00"),
    ("a promise of 2^64 items", lambda: b"\x9b" + b"\xff" * 8),
    ("a promise of 2^63 bytes", lambda: b"\x5b\x80" + bytes(7)),
    ("a COSE_Sign1 of nothing", lambda: b"\xd2\x84\x40\xa0\x40\x40"),
    ("gaps without end", lambda: cbor.encode([b"k" * 8, 1, 9999, [[2 * n, 2 * n] for n in range(200)], b"m" * 16])),
]


@pytest.mark.parametrize(("name", "build"), DEEP)
def test_greedy_messages(watched: Watched, name: str, build: Callable[[], bytes]) -> None:
    check(watched, build())
