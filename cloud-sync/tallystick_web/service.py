"""One running ledger: its stores opened from a configuration, and its loops.

    sequence    every sequence_ms     pending entries get their indexes
    publish     every publish_ms      the head is cosigned and published; then finance reads the new facts
    notify      every publish_ms      what happened to loans is told: a line here, a webhook
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable

import httpx

from tallystick_finance import project
from tallystick_finance.errors import ConflictError, FinanceError, SignerError
from tallystick_finance.finance import Finance
from tallystick_finance.notify import Hook, Notifier
from tallystick_ledger.blobs import Blobs
from tallystick_ledger.context import Context
from tallystick_ledger.db import Database
from tallystick_ledger.errors import LedgerError, PublishError, StoreError
from tallystick_ledger.ledger import Ledger
from tallystick_ledger.publish import Publisher
from tallystick_ledger.sequencer import sequence
from tallystick_ledger.witness_client import WitnessClient
from tallystick_proof import keys
from tallystick_provisioning import key_file, secret_file
from tallystick_provisioning.errors import FileError, ProvisioningError
from tallystick_provisioning.trust_setup import read_trust
from tallystick_web import journal
from tallystick_web.config import CloudConfig, FinanceConfig
from tallystick_web.errors import ConfigError, ServiceError

MIN_TOKEN_CHARACTERS = 32  # `cloud init` makes 64 hex digits; an empty file must not open the door
_QUIET_AFTER = 3  # equal failures in a row that are logged one by one; then every sixtieth
_QUIET_STEP = 60

Step = Callable[[], object]


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def open_ledger(config: CloudConfig, new: bool = False) -> Ledger:
    """The stores that a configuration names, made only when `new` says so; ConfigError when something does not fit."""
    try:
        trust = read_trust(config.trust)
    except FileError as error:
        raise ConfigError(f"trust: {error}; `tallystick trust init` makes it") from None
    except ProvisioningError as error:
        raise ConfigError(f"trust: {error}") from None
    if trust.origin != config.origin:
        raise ConfigError(f"trust: {config.trust} is about {trust.origin}, this is {config.origin}")
    if not new and not config.database.exists():
        raise ConfigError(f"database: {config.database} does not exist; has this ledger run?")
    try:
        blobs = Blobs(config.blobs)
    except OSError as error:
        raise ConfigError(f"blobs: {config.blobs}: {error.strerror}") from None
    try:
        return Ledger(Database(config.database), blobs, trust, wall_ms)
    except LedgerError as error:
        raise ConfigError(f"{error} ({config.database})") from None


def load_key(config: CloudConfig, ledger: Ledger) -> keys.Signer:
    """The ledger's own key, held against trust.toml: another key's checkpoints would never be accepted."""
    try:
        signer = key_file.load(config.key, keys.LEDGER)
    except ProvisioningError as error:
        raise ConfigError(f"key: {error}") from None
    if signer.public_key not in [vkey.public_key for vkey in ledger.trust.policy.logs if vkey.name == config.origin]:
        raise ConfigError(f"key: {config.key} is not the log key that {config.trust} names")
    return signer


class Service:
    """The parts that `cloud serve` runs. `on_fault` is called once, from a loop that cannot go on."""

    def __init__(self, config: CloudConfig, on_fault: Callable[[], None]) -> None:
        self._on_fault = on_fault
        self.fault: BaseException | None = None
        self.ledger = open_ledger(config, new=True)
        signer = load_key(config, self.ledger)
        vkeys = list(self.ledger.trust.policy.witnesses.values())
        self._witnesses = [WitnessClient(url, vkeys) for url in config.witnesses]
        self._publisher = Publisher(self.ledger, signer, self._witnesses, config.refresh_ms, monotonic_ms)
        token = _token(config)
        self.context = Context(self.ledger, hashlib.sha256(token.encode()).digest())
        self.finance = None if config.finance is None else open_finance(config.finance, self.ledger)
        self._client = httpx.Client(trust_env=False)
        self._stop = threading.Event()
        loops: list[tuple[str, Step, int]] = [
            ("sequence", self._sequence, config.sequence_ms),
            ("publish", self._publish, config.publish_ms),
        ]
        if config.finance is not None and self.finance is not None:
            notifier = Notifier(self.finance, journal.say, _hook(config.finance, self._client), wall_ms)
            loops.append(("notify", notifier.deliver, config.publish_ms))
        self._threads = [threading.Thread(target=self._loop, args=loop, name=loop[0]) for loop in loops]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop the loops after the step that they are in, then close the stores."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._publisher.close()
        for witness in self._witnesses:
            witness.close()
        self._client.close()
        self.ledger.db.close()

    def _sequence(self) -> None:
        sequence(self.ledger)

    def _publish(self) -> None:
        try:
            published = self._publisher.publish_once()
            if published is not None:
                journal.say("published", size=published.size, latest_ms=published.latest_ms)
        finally:
            # Also while a witness is away: what was published before may wait since a restart.
            if self.finance is not None:
                project.run(self.finance)

    def _loop(self, name: str, step: Step, every_ms: int) -> None:
        """What is away or not enrolled yet is waited for; a broken store or a fault of ours stops the service."""
        failures = 0
        while not self._stop.wait(every_ms / 1000):
            try:
                step()
                failures = 0
            except (PublishError, SignerError, ConflictError) as error:
                failures += 1
                if failures <= _QUIET_AFTER or failures % _QUIET_STEP == 0:
                    journal.warn("waiting", loop=name, why=str(error), failures=failures)
            except Exception as error:  # noqa: BLE001 (whatever it is, going on would hide it)
                journal.fault("loop-failed", error, loop=name, store=isinstance(error, StoreError))
                self.fault = error
                self._on_fault()
                return


def open_finance(config: FinanceConfig, ledger: Ledger) -> Finance:
    """Finance on the ledger's database, with the key that signs decisions."""
    try:
        return Finance(ledger, key_file.load(config.decision_key, keys.DECISION), secrets.token_bytes)
    except (ProvisioningError, FinanceError) as error:
        raise ConfigError(f"finance.decision_key: {error}") from None


def _hook(config: FinanceConfig, client: httpx.Client) -> Hook | None:
    if config.webhook_url is None or config.webhook_secret is None:
        return None
    try:
        return Hook(config.webhook_url, secret_file.read(config.webhook_secret).strip(), client)
    except (ProvisioningError, FinanceError) as error:
        raise ConfigError(f"finance.webhook_secret: {error}") from None


def _token(config: CloudConfig) -> str:
    try:
        token = secret_file.read(config.api_token).strip()
    except ProvisioningError as error:
        raise ConfigError(f"api_token: {error}") from None
    if len(token) < MIN_TOKEN_CHARACTERS or not token.isprintable() or " " in token:
        raise ConfigError(
            f"api_token: {config.api_token}: no token: one word of at least {MIN_TOKEN_CHARACTERS} characters is needed"
        )
    return token


def check_fault(service: Service) -> None:
    """ServiceError when a loop had to stop."""
    if service.fault is not None:
        raise ServiceError(f"stopped: {service.fault}")
