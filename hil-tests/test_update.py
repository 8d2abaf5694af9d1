"""Configurations and firmware brought to a real node over its cable: it runs what was sent, or what it ran before."""

import time
from collections.abc import Callable, Iterator

import pytest
from update_support import LINK, LINK_KEY, config, firmware, now_ms, order, small_image, whole_image

from tallystick_emulators.errors import NodeError
from tallystick_emulators.unix_node import UnixNode
from tallystick_provisioning.offers import Offer, Talk
from tallystick_tools.rig import PATIENCE_S, Cable
from tallystick_wire import message, reading, transfer

TRIAL_MS = 3000  # over before anybody acks
WATCHDOG_MS = 12_000  # a node on a busy computer needs seconds for what a board does in its eight
PATIENT_WATCHDOG_MS = 60_000


@pytest.fixture
def cable(node: UnixNode) -> Iterator[Cable]:
    opened = Cable(node.port)
    opened.ask(LINK, "linked")
    yield opened
    opened.close()


def bring(
    cable: Cable, one: Offer, most: int = 10_000, clock: Callable[[], float] = time.monotonic
) -> tuple[str, list[int]]:
    """(the node's last word, "" when it was not waited for; the pieces that it asked for, at most so many).

    By `clock` an offer without an answer is sent again.
    """
    talk = Talk(LINK_KEY, [one])
    wanted: list[int] = []
    deadline = time.monotonic() + PATIENCE_S
    while one.manifest.identity not in talk.outcomes:
        if time.monotonic() > deadline:
            raise NodeError(f"no outcome in {PATIENCE_S:.0f} s; {len(wanted)} pieces were asked for")
        question = talk.due(now_ms(), clock())
        if question is not None:
            cable.send(question)
        for payload in cable.hear():
            if message.kind(payload) == "want":
                wanted.append(transfer.open_want(payload)[1])
            if len(wanted) > most:
                return "", wanted[:most]
            answer = talk.hear(payload, clock())
            if answer is not None:
                cable.send(answer)
    return talk.outcomes[one.manifest.identity], wanted


def word(cable: Cable, one: Offer) -> str:
    return bring(cable, one)[0]


def boot_record(cable: Cable, boot: int) -> reading.BootRecord:
    """Of that boot, when its first reading has come; what came of the boots before is acked until then, and no more."""

    def came(readings: list[reading.Reading]) -> bool:
        if readings and max(one.chain.boot for one in readings) < boot:
            cable.ack(LINK_KEY)
        return any(one.chain.boot == boot and one.boot_record for one in readings)

    cable.wait(came)
    return next(one.boot_record for one in cable.readings if one.chain.boot == boot and one.boot_record)


def until(condition: Callable[[], bool], cable: Cable) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        cable.listen()


def test_a_configuration_is_in_the_next_boot_record(cable: Cable, node: UnixNode) -> None:
    before = boot_record(cable, 1)
    one = config("interval_ms = 1000\n[offsets]\nt = -0.25")
    assert word(cable, one) == transfer.KEPT
    after = boot_record(cable, 2)
    assert after.config_hash != before.config_hash
    assert after.firmware_hash == before.firmware_hash
    assert word(cable, one) == transfer.CURRENT
    node.restart()
    assert boot_record(cable, 3).config_hash == after.config_hash


def test_new_firmware_runs_is_confirmed_and_stays(cable: Cable, node: UnixNode) -> None:
    before = boot_record(cable, 1)
    one = firmware(whole_image("\n# another one\n"))
    assert word(cable, one) == transfer.LOADED
    after = boot_record(cable, 2)
    assert after.firmware_hash != before.firmware_hash
    assert word(cable, one) == transfer.ON_TRIAL
    cable.ack(LINK_KEY)
    until(lambda: word(cable, one) == transfer.CURRENT, cable)
    node.restart()
    assert boot_record(cable, 3).firmware_hash == after.firmware_hash
    assert cable.hello().firmware_hash == after.firmware_hash
    assert "Traceback" not in node.log.read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "trace"),
    [
        ("\nraise ValueError('broken at import')\n", "broken at import"),
        ("\n\ndef main(board):\n    raise ValueError('broken at work')\n", "broken at work"),
        ("\nthis is no MicroPython\n", "SyntaxError"),
    ],
    ids=["at-import", "at-work", "no-code"],
)
def test_broken_firmware_is_rolled_back(cable: Cable, node: UnixNode, change: str, trace: str) -> None:
    before = boot_record(cable, 1)
    one = firmware(whole_image(change))
    assert word(cable, one) == transfer.LOADED
    until(lambda: trace in node.log.read_text("utf-8"), cable)
    again = boot_record(cable, 2)  # the broken image never came far enough to count a boot
    assert again.firmware_hash == before.firmware_hash
    assert word(cable, one) == "updates_failed_before"
    until(lambda: node.counts().get("updates_rolled_back") == 1, cable)


def test_firmware_that_hangs_at_import_is_rolled_back(make_node: Callable[..., UnixNode]) -> None:
    """Nothing of it ever runs a turn: the watchdog that the loader started ends its only boot."""
    node = make_node(watchdog_ms=WATCHDOG_MS)
    opened = Cable(node.port)
    opened.ask(LINK, "linked")
    before = boot_record(opened, 1)
    one = firmware(whole_image("\nwhile True:\n    pass\n"))
    assert word(opened, one) == transfer.LOADED
    again = boot_record(opened, 2)
    assert (again.firmware_hash, again.reset_cause) == (before.firmware_hash, "watchdog")
    assert word(opened, one) == "updates_failed_before"
    until(lambda: node.counts().get("updates_rolled_back") == 1, opened)
    opened.close()


def test_the_watchdog_over_a_trial_leaves_firmware_that_works_alone(make_node: Callable[..., UnixNode]) -> None:
    node = make_node(watchdog_ms=PATIENT_WATCHDOG_MS)
    opened = Cable(node.port)
    opened.ask(LINK, "linked")
    one = firmware(whole_image("\n# watched\n"))
    assert word(opened, one) == transfer.LOADED
    assert boot_record(opened, 2).reset_cause == "power-on"
    fed_ns = node.watchdog.stat().st_mtime_ns
    until(lambda: node.watchdog.stat().st_mtime_ns > fed_ns, opened)
    opened.ack(LINK_KEY)
    until(lambda: word(opened, one) == transfer.CURRENT, opened)
    opened.close()


def test_firmware_whose_readings_nobody_acks_is_rolled_back(make_node: Callable[..., UnixNode]) -> None:
    cable = Cable(make_node(trial_ms=TRIAL_MS).port)
    cable.ask(LINK, "linked")
    before = boot_record(cable, 1)
    one = firmware(whole_image("\n# unheard\n"))
    assert word(cable, one) == transfer.LOADED
    assert boot_record(cable, 2).firmware_hash != before.firmware_hash
    until(lambda: cable.hello().firmware_hash == before.firmware_hash, cable)
    cable.ack(LINK_KEY)  # too late for the trial
    assert boot_record(cable, 3).firmware_hash == before.firmware_hash
    assert word(cable, one) == "updates_failed_before"
    cable.close()


def test_killed_after_any_piece_it_goes_on_and_fetches_nothing_twice(cable: Cable, node: UnixNode) -> None:
    one = firmware(small_image(8))
    asked: list[int] = []
    for _ in range(one.manifest.chunk_count + 2):
        # One offer in each life: to another one the node would answer with the same piece again.
        outcome, wanted = bring(cable, one, most=1, clock=lambda: 0.0)
        asked += wanted
        if outcome:
            break
        node.restart()  # the piece that was asked for last has not been sent
        cable.hello()
    repeated = {index: asked.count(index) for index in asked if asked.count(index) > 1}
    assert outcome == transfer.LOADED
    assert sorted(set(asked)) == [-1, *range(one.manifest.chunk_count)]
    assert not repeated


def test_what_is_not_right_is_refused_by_the_real_interpreter_too(cable: Cable, node: UnixNode) -> None:
    first = boot_record(cable, 1)
    files = {path: path.read_bytes() for path in (node.folder / "slots").rglob("*") if path.is_file()}
    assert word(cable, config(ordered=order(9, target=b"other888"))) == "updates_wrong_target"
    assert word(cable, config(ordered=order(9, days=-1))) == "updates_expired"
    assert word(cable, firmware(small_image(board="mpy6.3-armv6m"), order(9))) == "updates_wrong_board"
    good = config(ordered=order(9)).data
    forged = transfer.build_offer(LINK_KEY, now_ms(), good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    assert transfer.open_outcome(cable.ask(forged, "outcome"))[1] == "updates_wrong_signature"
    cable.send(transfer.build_offer(bytes(32), now_ms(), good))
    expected = {"wrong_target", "expired", "wrong_board", "wrong_signature"}
    until(lambda: all(node.counts().get(f"updates_{name}") for name in expected), cable)
    until(lambda: node.counts().get("offers_refused") == 1, cable)
    assert not {path for path in (node.folder / "slots").rglob("*") if path.is_file()} - set(files)
    node.restart()
    assert boot_record(cable, 2).config_hash == first.config_hash
