"""Statements go out while tags are written: one thread, an outbox that is the truth, a ledger that may hang."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tag_support import Hand, blank, make_job, run

from tallystick_emulators.tag_field import Field
from tallystick_proof import statement
from tallystick_proof.keys import Signer
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_provisioning.outbox import Outbox
from tallystick_provisioning.screen_words import Words
from tallystick_tags.tag_job import Job
from tallystick_tags.tag_sender import Sender
from tallystick_tags.tag_signing import Signing, note_sent

URL = "http://ledger.example"
AT_MOST_S = 20.0  # a test whose promise is broken ends nevertheless


class Network(httpx.BaseTransport):
    """A ledger at the end of a wire that a test holds: it takes statements, refuses some, or lets them hang."""

    def __init__(self, refuses: Callable[[str], bool] = lambda item: False, hangs: bool = False) -> None:
        self.refuses = refuses
        self.taken: list[str] = []
        self.threads: set[str] = set()
        self.gave_up = False
        self.asked, self.goes_on = threading.Event(), threading.Event()
        if not hangs:
            self.goes_on.set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.threads.add(threading.current_thread().name)
        self.asked.set()
        if not self.goes_on.wait(AT_MOST_S):
            self.gave_up = True
            raise httpx.ReadTimeout("nothing came")
        one = statement.parse(request.read())
        if self.refuses(one.body["item"]):
            return httpx.Response(422, json={"detail": "no such installer"})
        self.taken.append(one.body["item"].rpartition("/")[2])
        return httpx.Response(201, json={"identity": one.identity.hex(), "index": None})


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    return Signing(Signer("installer", bytes(32)), "ledger.example/log", Outbox(tmp_path / "outbox"))


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with Job(make_job(tmp_path / "j", 3, "ntag215")) as made:
        yield made


def written(job: Job, signing: Signing, sender: Sender | None = None) -> Hand:
    """All three tags of the job."""
    hand = Hand(Field(), [blank("ntag215", number) for number in range(3)])
    loop = run(job, hand, signing=signing)
    loop.sender = sender
    assert loop.go()
    return hand


def test_what_is_finished_is_sent_by_another_thread(job: Job, signing: Signing) -> None:
    network = Network()
    with Sender(LedgerClient(URL, network), signing.outbox) as sender:
        written(job, signing, sender)
    assert sorted(network.taken) == ["S0", "S1", "S2"]
    assert network.threads == {"sender"}
    assert signing.outbox.waiting() == []


def test_a_ledger_that_hangs_delays_no_tag_and_not_the_end(job: Job, signing: Signing) -> None:
    network = Network(hangs=True)
    sender = Sender(LedgerClient(URL, network), signing.outbox)
    with sender:
        hand = written(job, signing, sender)
        assert network.asked.wait(AT_MOST_S)
        assert (hand.codes, network.taken) == (["done"] * 3, [])
        sender.close(within_s=0.1)
        assert not network.gave_up, "the end did not wait for it"
        assert network.threads == {"sender"}, "the tags' thread asked no ledger"
        assert len(sender.waiting()) == 3, "and what nobody confirmed waits"
        network.goes_on.set()


def test_a_statement_leaves_the_outbox_only_when_the_ledger_has_it(job: Job, signing: Signing) -> None:
    network = Network(hangs=True)
    written(job, signing)
    with Sender(LedgerClient(URL, network), signing.outbox) as sender:
        assert network.asked.wait(AT_MOST_S)
        assert len(signing.outbox.waiting()) == 3
        assert sender.collect() == []
        network.goes_on.set()
    assert signing.outbox.waiting() == []


def test_a_refused_statement_is_never_noted_as_sent_and_holds_up_no_other(job: Job, signing: Signing) -> None:
    network = Network(refuses=lambda item: item.endswith("/S0"))
    with Sender(LedgerClient(URL, network), signing.outbox) as sender:
        written(job, signing, sender)
    note_sent(job, sender.collect(), lambda: 7)
    assert {item.item.serial: item.sent_ms is not None for item in job.items()} == {"S0": False, "S1": True, "S2": True}
    refused = [delivery.refused for delivery in sender.deliveries if delivery.refused]
    assert refused == [f"{URL} says 422: no such installer"]
    assert [path.suffix for path in signing.outbox.folder.iterdir()] == [".refused"]


def test_what_is_no_statement_is_set_aside(job: Job, signing: Signing) -> None:
    written(job, signing)
    (signing.outbox.folder / "damaged.cose").write_bytes(b"\x84")
    network = Network()
    deliveries = LedgerClient(URL, network).deliver(signing.outbox)
    assert [delivery.path.stem for delivery in deliveries if delivery.refused] == ["damaged"]
    assert len(network.taken) == 3
    assert signing.outbox.waiting() == []


def test_the_view_counts_what_is_sent_and_what_waits(job: Job, signing: Signing) -> None:
    network = Network()
    signing.state_all(job)
    with Sender(LedgerClient(URL, network), signing.outbox) as sender:
        hand = written(job, signing, sender)
    job.sent([delivery.posted.identity.hex() for delivery in sender.collect() if delivery.posted], 7)
    seen = [(moment.progress.sent, moment.progress.queued) for moment in hand.moments]
    assert seen[0] == (0, 0)
    assert all(
        sent + queued <= moment.progress.written for (sent, queued), moment in zip(seen, hand.moments, strict=True)
    )
    assert (job.delivered(), job.queued()) == (3, 0)


class Surprising(Network):
    """The first statement meets an error that nobody thought of."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not self.asked.is_set():
            self.asked.set()
            raise RuntimeError("what nobody thought of")
        return super().handle_request(request)


def test_a_surprise_does_not_end_the_sending(job: Job, signing: Signing) -> None:
    """The thread says what it met, and goes on: the last attempt finds it alive."""
    written(job, signing)
    network = Surprising()
    sender = Sender(LedgerClient(URL, network), signing.outbox)
    with sender:
        wait_until(lambda: "RuntimeError" in str(sender.waiting()[0].waits))
        assert [delivery.waits for delivery in sender.waiting()] == ["RuntimeError: what nobody thought of"] * 3
    assert sorted(network.taken) == ["S0", "S1", "S2"]


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + AT_MOST_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("status", [401, 403, 404, 407, 429])
def test_what_stands_between_us_and_the_ledger_refuses_nothing(job: Job, signing: Signing, status: int) -> None:
    """A login page, a wrong address, a proxy: all statements wait where they are."""
    written(job, signing)
    page = httpx.MockTransport(lambda _: httpx.Response(status, text="<h1>Log in</h1>"))
    deliveries = LedgerClient(URL, page).deliver(signing.outbox)
    assert [(delivery.refused, "says" in (delivery.waits or "")) for delivery in deliveries] == [(None, True)] * 3
    assert len(signing.outbox.waiting()) == 3


def test_certificates_that_are_not_there_lose_no_statement(
    job: Job, signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be asked at all has not taken anything: all wait, with the reason."""
    written(job, signing)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    deliveries = LedgerClient("https://ledger.example").deliver(signing.outbox)
    assert ["No such file" in (delivery.waits or "") for delivery in deliveries] == [True] * 3


def test_two_programs_deliver_one_outbox(job: Job, signing: Signing) -> None:
    """Each file that the other one took meanwhile is passed over, in the list and in the post."""
    written(job, signing)
    network = Network()
    mine = LedgerClient(URL, network).deliver_each(signing.outbox)
    assert next(mine).posted
    assert len(LedgerClient(URL, network).deliver(signing.outbox)) == 2
    assert list(mine) == []
    assert sorted(network.taken) == ["S0", "S1", "S2"]


def test_what_the_ledger_refuses_is_counted_on_the_screen(job: Job, signing: Signing) -> None:
    with Sender(LedgerClient(URL, Network(refuses=lambda item: item.endswith("/S0"))), signing.outbox) as sender:
        written(job, signing, sender)
    note_sent(job, sender.collect(), lambda: 7)
    loop = run(job, Hand(Field(), []), signing=signing)
    loop.sender = sender
    progress = loop.progress()
    assert (progress.sent, progress.queued, progress.refused) == (2, 1, 1)
    assert Words("en").statements(2, 1, 1) == "statements: 2 sent, 0 wait for the ledger, 1 REFUSED by it"
    assert Words("zh").statements(2, 1, 1) == "记录：已上传 2，待上传 0，账本拒收 1"
