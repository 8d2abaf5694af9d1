"""The power comes and goes: nothing is said twice, nothing that matters is forgotten."""

from collections.abc import Callable

from tallystick_emulators.unix_node import UnixNode
from tallystick_tools.rig import Cable
from tallystick_wire import message, reading
from tallystick_wire.reading import Reading

ORIGIN, PEN, LINK_KEY = "ledger.example/log", 32473, bytes(range(32))
SEGMENT_READINGS = 20  # as the firmware's store


def link(cable: Cable) -> None:
    message.open_linked(cable.ask(message.build_link(LINK_KEY, ORIGIN, PEN), "linked"))


def boots(number: int) -> Callable[[list[Reading]], bool]:
    """True once two readings of that boot are there."""
    return lambda readings: sum(one.chain.boot == number for one in readings) >= 2


def of_boot(cable: Cable, number: int) -> list[Reading]:
    return sorted((one for one in cable.readings if one.chain.boot == number), key=lambda one: one.chain.seq)


def test_boots_count_and_numbers_never_return(node: UnixNode, cable: Cable) -> None:
    link(cable)
    for boot in (1, 2, 3):
        cable.wait_and_ack(LINK_KEY, boots(boot))
        node.restart()
    cable.wait_and_ack(LINK_KEY, boots(4))
    numbers = [one.chain.seq for one in cable.readings]
    assert len(numbers) == len(set(numbers))
    for boot in (2, 3, 4):
        before, first = of_boot(cable, boot - 1), of_boot(cable, boot)[0]
        record = first.boot_record
        assert record is not None
        assert before[-1].chain.seq <= record.last_persisted < first.chain.seq == record.reserved_bound + 1
        assert all(one.boot_record is None for one in of_boot(cable, boot)[1:])
        assert first.chain.uptime_ms < 60_000


def test_the_chain_links(node: UnixNode, cable: Cable) -> None:
    public_key = cable.hello().public_key
    link(cable)
    cable.wait_and_ack(LINK_KEY, boots(1))
    node.restart()
    cable.wait_and_ack(LINK_KEY, boots(2))
    by_seq = {one.chain.seq: one for one in cable.readings}
    for one in cable.readings:
        if one.chain.seq == 1:
            assert one.chain.previous == reading.genesis(ORIGIN, public_key)
        else:  # also over the reboot
            assert one.chain.previous == by_seq[max(seq for seq in by_seq if seq < one.chain.seq)].link


def test_unacked_readings_come_again_after_a_power_cut(make_node: Callable[..., UnixNode]) -> None:
    node = make_node(interval_ms=20, batch=SEGMENT_READINGS)
    cable = Cable(node.port)
    link(cable)
    cable.wait(lambda readings: len(readings) >= 1)
    kept = node.folder / "flash" / "s"
    cable.wait(lambda _: len(list(kept.glob("*.seg"))) >= 3)  # nobody acks: segments fill
    first_life = {one.chain.seq: one.identity for one in cable.readings}
    node.kill()
    segments = sorted(kept.glob("*.seg"))
    last = int(segments[-1].stem.partition("-")[2])  # as its name says
    cable.close()

    cable = Cable(node.port)  # another gateway, which has seen nothing
    node.start()
    cable.wait_and_ack(LINK_KEY, boots(2))
    again = {one.chain.seq: one.identity for one in cable.readings if one.chain.boot == 1}
    assert last > 2 * SEGMENT_READINGS
    assert set(again) == set(range(1, last + 1)), "everything that was signed"
    assert {seq: again[seq] for seq in first_life if seq in again} == {
        seq: identity for seq, identity in first_life.items() if seq in again
    }
    record = of_boot(cable, 2)[0].boot_record
    assert record is not None
    assert record.last_persisted == last
    assert of_boot(cable, 2)[0].chain.previous == max(
        (one for one in cable.readings if one.chain.boot == 1), key=lambda one: one.chain.seq
    ).link
    cable.wait_and_ack(LINK_KEY, lambda _: not set(segments) & set(kept.glob("*.seg")))
    cable.close()


def test_an_unused_anchor_does_not_outlive_a_reboot(make_node: Callable[..., UnixNode]) -> None:
    node = make_node(interval_ms=600_000)  # long enough to cut the power between the anchor and the next reading
    cable = Cable(node.port)
    link(cable)
    cable.wait_and_ack(LINK_KEY, lambda readings: len(readings) >= 1)
    cable.send(message.build_anchor(LINK_KEY, 3, bytes(16)))
    cable.hello()  # answered after the anchor was taken
    node.restart()
    cable.wait_and_ack(LINK_KEY, lambda readings: len(readings) >= 2)
    assert [one.chain.boot for one in cable.readings] == [1, 2]
    assert [one.chain.anchor for one in cable.readings] == [None, None]
    cable.close()


def test_a_gateway_that_goes_does_not_stop_the_node(node: UnixNode, cable: Cable) -> None:
    link(cable)
    cable.wait(lambda readings: len(readings) >= 2)
    cable.close()
    before = cable.readings[-1].chain.seq
    returned = Cable(node.port)
    returned.wait_and_ack(LINK_KEY, lambda readings: any(one.chain.seq > before for one in readings))
    assert node.alive
    assert returned.readings[-1].chain.boot == 1
    returned.close()


def test_torn_files_do_not_stop_the_boot(node: UnixNode, cable: Cable) -> None:
    """One copy of each state file is cut in half: same key, same log, higher numbers, and the boot record says so."""
    told = cable.hello()
    link(cable)
    cable.wait_and_ack(LINK_KEY, boots(1))
    node.kill()
    flash = node.folder / "flash"
    for name in ("key.0", "boot.1", "reserve.0", "config.1"):
        content = (flash / name).read_bytes()
        (flash / name).write_bytes(content[: len(content) // 2])
    node.start()
    cable.wait_and_ack(LINK_KEY, lambda readings: any(one.chain.boot > 1 for one in readings))
    again = cable.hello()
    assert (again.public_key, again.origin) == (told.public_key, ORIGIN)
    first = next(one for one in cable.readings if one.chain.boot > 1)
    assert first.chain.seq > max(one.chain.seq for one in cable.readings if one.chain.boot == 1)
    assert first.boot_record
    assert first.pack.get("bf") == 4
    assert len(list(flash.glob("*.bad"))) == 4
    assert "Traceback" not in node.log.read_text("utf-8")
