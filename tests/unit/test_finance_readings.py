"""How far a loan may go on over readings that were given up: as far as the window itself accounts for every gap."""

from hypothesis import given
from hypothesis import strategies as st

from tallystick_finance import readings
from tallystick_finance.decide import Node, Observation, declared_by, links
from tallystick_proof.chain import Declared

SINCE_MS = 1_760_000_000_000
NODE = bytes(32)


def link(seq: int) -> bytes:
    return seq.to_bytes(16, "big")


def seen(seq: int, boot: int = 1, gap: tuple[int, int] | None = None, persisted: int | None = None) -> Observation:
    previous = link(persisted or seq - 1)
    return Observation(seq, boot, 1000 * seq, previous, link(seq), None, SINCE_MS + seq, (0, 4), persisted, gap)


@st.composite
def paths(draw: st.DrawFn) -> list[Observation]:
    """Readings in order, some numbers missing, some readings declaring some of them; now and then a boot."""
    found: list[Observation] = []
    seq, boot = 1, 1
    for _ in range(draw(st.integers(1, 12))):
        step = draw(st.sampled_from([1, 1, 1, 2, 4]))
        persisted = None
        if found and draw(st.integers(0, 6)) == 0:
            boot, persisted = boot + 1, draw(st.integers(seq, seq + step - 1)) or None
        seq += step
        first = draw(st.integers(1, seq - 1))
        gap = draw(st.none() | st.just((first, draw(st.integers(first, seq - 1)))))
        found.append(seen(seq, boot, gap, persisted))
    return found


def holds(node: Node, window: list[Observation], declared: Declared) -> bool:
    """Every reading may be folded behind the one before it."""
    for one in window:
        if not links(node, one, SINCE_MS, declared):
            return False
        node = node._replace(last=one)
    return True


@given(path=paths())
def test_it_goes_as_far_as_the_window_accounts_for_its_gaps(path: list[Observation]) -> None:
    node = Node(NODE, SINCE_MS, last=seen(1))
    held = declared_by(path)  # what is held declares; as far as that goes the rows are read
    path = path[: max(at for at in range(len(path) + 1) if holds(node, path[:at], held))]
    parts = [path[:at] for at in range(len(path) + 1)]
    longest = max(len(part) for part in parts if holds(node, part, declared_by(part)))
    assert readings._settled(node, path, SINCE_MS) == longest
