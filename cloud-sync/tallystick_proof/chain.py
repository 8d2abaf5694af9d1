"""When one reading of a node follows another: the rule that makes a missing reading visible."""

from tallystick_wire.reading import Reading


def unknown_between(earlier: Reading, later: Reading) -> int | None:
    """How many readings may lie between two that link (0: none), or None when they do not link.

    The same boot: the next sequence number, and it names the earlier one. A new boot: a boot record that admits to have
    persisted no more than the earlier one; what the node made in between may be lost. When the record says that exactly
    the earlier one was persisted, its hash must fit too.
    """
    before, after, boot = earlier.chain, later.chain, later.boot_record
    if after.boot == before.boot:
        return 0 if after.seq == before.seq + 1 and after.previous == earlier.link else None
    if after.boot < before.boot or boot is None or not boot.last_persisted <= before.seq < after.seq:
        return None
    if boot.last_persisted == before.seq and after.previous != earlier.link:
        return None
    return after.seq - before.seq - 1
