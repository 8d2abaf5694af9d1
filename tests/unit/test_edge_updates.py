"""The gateway's side of updates: who is offered what, and what is refused before any node hears of it."""

import io
from pathlib import Path

import pytest
import update_support
from update_support import HOUR_MS, LINK_KEY, ORIGIN, now_ms

from tallystick_edge.journal import Journal
from tallystick_edge.metrics import Metrics
from tallystick_edge.updates import LOOK_S, Updates
from tallystick_fleet import update_manifest
from tallystick_provisioning.offers import Offer
from tallystick_wire import message, transfer

KID, OTHER = bytes([1]) * 8, bytes([2]) * 8


class Site:
    """A folder of offers and the gateway's end of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.metrics, self.output = folder, Metrics(), io.StringIO()
        folder.mkdir()
        self.updates = Updates(folder, ORIGIN, lambda _: LINK_KEY, self.metrics, Journal(self.output))
        self.now_s = 0.0

    def lay(self, name: str, one: Offer) -> Offer:
        (self.folder / f"{name}.offer").write_bytes(one.data)
        if one.image:
            (self.folder / f"{name}.image").write_bytes(one.image)
        return one

    def due(self, kid: bytes = KID, boot: int = 1, now: int | None = None) -> bytes | None:
        """What this node is told after a while."""
        self.now_s += max(LOOK_S, 10.0)
        when = now_ms() if now is None else now
        self.updates.look(when, self.now_s)
        return self.updates.due(kid, boot, when, self.now_s)

    def hear(self, payload: bytes, kid: bytes = KID) -> bytes | None:
        return self.updates.hear(kid, 1, payload, self.now_s)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"tallystick_gateway_{name}_total", labels) or 0.0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "offers")


def offered(payload: bytes | None) -> bytes:
    assert payload is not None
    return transfer.open_offer(LINK_KEY, payload)[1]


def test_a_node_is_offered_what_is_for_it(site: Site) -> None:
    assert site.due() is None
    everybody = site.lay("a", update_support.config(ordered=update_support.order(1)))
    assert offered(site.due()) == everybody.data
    own = site.lay("b", update_support.config(ordered=update_support.order(2, target=KID)))
    assert offered(site.due()) == own.data
    assert offered(site.due(OTHER)) == everybody.data
    assert site.count("offers") == 3


def test_it_gets_the_pieces_that_it_asks_for(site: Site) -> None:
    content = update_support.small_image()
    one = site.lay("f", update_support.firmware(content))
    assert offered(site.due()) == one.data
    identity = one.manifest.identity
    answer = site.hear(transfer.build_want(identity, 0))
    assert answer is not None
    assert transfer.open_chunk(answer) == (identity, 0, content[: one.manifest.chunk_bytes])
    assert site.hear(transfer.build_want(identity, 8000)) is None
    assert site.hear(transfer.build_want(bytes(16), 0)) is None
    assert site.hear(b"junk") is None
    assert site.hear(message.build_hello()) is None
    assert site.count("chunks") == 1


def test_outcomes_are_counted_and_said(site: Site) -> None:
    one = site.lay("a", update_support.config())
    site.due()
    for word in (transfer.KEPT, transfer.CURRENT, transfer.CURRENT, "updates_wrong_key", "a word of its own"):
        site.hear(transfer.build_outcome(one.manifest.identity, word))
    assert site.count("outcomes", word=transfer.KEPT) == site.count("outcomes", word=transfer.CURRENT) == 1
    assert site.count("outcomes", word="refused") == 2, "a node's own words are no labels"
    assert 'outcome="a word of its own"' in site.output.getvalue()
    assert site.due() is None, "it is over"
    assert site.due(boot=2) is not None, "a node that booted is asked what came of it"


@pytest.mark.parametrize("reason", ["expired", "foreign", "unreadable"])
def test_what_no_node_may_get_is_refused_and_counted_once(site: Site, reason: str) -> None:
    if reason == "unreadable":
        (site.folder / "x.offer").write_bytes(b"no manifest")
    else:
        origin = "other.example/log" if reason == "foreign" else ORIGIN
        days = -1.0 if reason == "expired" else 1.0
        site.lay("x", update_support.config(ordered=update_support.order(origin=origin, days=days)))
    for _ in range(3):
        assert site.due() is None
    assert site.count("offers_refused", reason=reason) == 1
    assert site.count("offers") == 0
    assert site.output.getvalue().count("event=offer-refused") == 1


def test_an_offer_ends_with_its_time(site: Site) -> None:
    order = update_manifest.Order(ORIGIN, 1, now_ms() + HOUR_MS, None)
    one = site.lay("a", update_support.config(ordered=order))
    assert offered(site.due()) == one.data
    site.due(now=now_ms() + 2 * HOUR_MS)
    assert site.due(boot=2, now=now_ms() + 2 * HOUR_MS) is None
    assert site.count("offers_refused", reason="expired") == 1


def test_without_a_clock_nothing_is_offered(site: Site) -> None:
    site.lay("a", update_support.config())
    site.updates.look(None, 100.0)
    assert site.updates.due(KID, 1, None, 100.0) is None


def test_what_is_taken_away_is_not_offered_any_more(site: Site) -> None:
    site.lay("a", update_support.config())
    assert site.due() is not None
    (site.folder / "a.offer").unlink()
    assert site.due(boot=2) is None
