"""`tallystick gateway ...`."""

import signal
import sys
import threading
import time
from pathlib import Path

from tallystick_edge import broker_files, control, files, gateway, status_text
from tallystick_edge import config as configuration
from tallystick_edge import enrol as enrolling
from tallystick_edge import status as looking
from tallystick_edge.clock import Clock
from tallystick_edge.errors import ConfigError, EdgeError
from tallystick_edge.journal import Journal
from tallystick_edge.link_config import DEFAULT_MQTT_PORT, MqttConfig
from tallystick_proof import keys
from tallystick_provisioning import key_file, site
from tallystick_provisioning.exit_codes import DONE, REFUSED, reporting
from tallystick_provisioning.ledger_client import LedgerClient
from tallystick_provisioning.trust_setup import SITE_KEY, read_trust

Numbers = dict[str, int]
reported = reporting(failures=(EdgeError,))


@reported
def enrol(
    folder: Path,
    *,
    authority: Path,
    trust: Path,
    ledger: str,
    port: list[str] | None = None,
    mqtt: str | None = None,
    mqtt_files: Path | None = None,
    site_key: Path | None = None,
    checkpoint_interval_ms: int | None = None,
    anchor_interval_ms: int | None = None,
    metrics_port: int | None = None,
    dry_run: bool = False,
) -> int:
    """Make a gateway: its key and token, its enrolment at the ledger, and FOLDER/gateway.toml.

    Without a network it ends "enrolled, pending": the enrolment waits in FOLDER/outbox, and `gateway run` sends it.

    Example:
        tallystick gateway enrol gw --authority site/authorities/gateway.key --trust site/trust.toml
        --ledger http://ledger.example --site-key site/site.key --port /dev/ttyUSB0

    Parameters
    ----------
    folder
        Folder to make it in.
    authority
        Key file of the authority for gateways (role authority-gateway).
    trust
        trust.toml of the ledger.
    ledger
        Address of the ledger, like http://ledger.example.
    port
        Serial port of a node; once for each.
    mqtt
        Broker that nodes publish to, as HOST or HOST:PORT.
    mqtt_files
        Folder with ca.crt and gateway.password, as `gateway broker-config` makes it.
    site_key
        Key file that the gateways of the site share; default: site.key beside trust.toml.
    checkpoint_interval_ms
        How often the log is signed and sent.
    anchor_interval_ms
        How often nodes get a ledger checkpoint.
    metrics_port
        Serve Prometheus metrics on 127.0.0.1 at this port.
    dry_run
        Check everything and show gateway.toml; write and post nothing.
    """
    client, trusted = LedgerClient(ledger), read_trust(trust)
    signer = key_file.load(authority, keys.AUTHORITY_PREFIX + keys.GATEWAY)
    shared = site_key or trust.parent / SITE_KEY
    site.load(shared)
    brokers = _brokers(mqtt, mqtt_files)
    text = configuration.template(
        trust=str(trust.resolve()),
        ledger=ledger,
        site_key=str(shared.resolve()),
        ports=port or ([] if brokers else [configuration.EXAMPLE_PORT]),
        numbers=_given(checkpoint_interval_ms, anchor_interval_ms, metrics_port),
        brokers=brokers,
    )
    _check_new(text, folder)
    enrolling.check(folder, signer, trusted)
    if dry_run:
        print(text, end="")
        return DONE
    return _send(enrolling.enrol(folder, signer, trusted, text), client)


def _given(checkpoint_interval_ms: int | None, anchor_interval_ms: int | None, metrics_port: int | None) -> Numbers:
    """Those that are given, by their keys in gateway.toml."""
    numbers = {
        "checkpoint_interval_ms": checkpoint_interval_ms,
        "anchor_interval_ms": anchor_interval_ms,
        "metrics_port": metrics_port,
    }
    return {name: number for name, number in numbers.items() if number is not None}


def _brokers(address: str | None, folder: Path | None) -> list[MqttConfig]:
    """The broker of --mqtt and --mqtt-files, its files looked at; they come together or not at all."""
    if address is None or folder is None:
        if address or folder:
            raise ConfigError("--mqtt and --mqtt-files belong together")
        return []
    host, _, port = address.rpartition(":") if ":" in address else (address, "", str(DEFAULT_MQTT_PORT))
    if not port.isdecimal():
        raise ConfigError(f"--mqtt: {address!r} is no HOST or HOST:PORT")
    ca, password = (folder.resolve() / name for name in (broker_files.AUTHORITY, broker_files.GATEWAY_PASSWORD))
    made = MqttConfig(host, ca, broker_files.GATEWAY_USER, password, int(port))
    if complaints := files.link_complaints([made]):
        raise ConfigError(*complaints)
    return [made]


def _check_new(text: str, folder: Path) -> None:
    """ConfigError without the lines of a gateway.toml that nobody has seen yet."""
    _, complaints = configuration.examine(text, folder)
    if complaints:
        raise ConfigError(*(complaint.partition(": ")[2] for complaint in complaints))


def _send(made: enrolling.EnrolledGateway, client: LedgerClient) -> int:
    """Post a new gateway's enrolment and say what became of it."""
    name = f"gateway {made.thumbprint.hex()}"
    delivery = next(iter(client.deliver(made.outbox)))
    if delivery.refused:
        print(f"{name}: the ledger refused the enrolment: {delivery.refused}")
        return REFUSED
    if delivery.posted is None:
        print(f"{name}: enrolled, pending. The statement waits in {made.outbox.folder}: {delivery.waits}")
        return DONE
    print(f"{name}: enrolled, ledger index {'pending' if delivery.posted.index is None else delivery.posted.index}")
    return DONE


@reported
def run(*, config: Path) -> int:
    """Run the gateway until it gets SIGTERM or SIGINT; it then commits, syncs once more and ends with 0.

    Logs go to stderr, one line an event.

    Example:
        tallystick gateway run --config gw/gateway.toml

    Parameters
    ----------
    config
        The gateway.toml.
    """
    settings = configuration.load(config)
    loaded = files.load(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    gateway.run(settings, loaded, Journal(), stop, Clock())
    return DONE


@reported
def status(*, config: Path, json: bool = False) -> int:
    """Show what the gateway holds and what the ledger confirmed. Works beside a running gateway.

    Example:
        tallystick gateway status --config gw/gateway.toml --json

    Parameters
    ----------
    config
        The gateway.toml.
    json
        One JSON object instead of text.
    """
    settings = configuration.load(config)
    loaded = files.load(settings)
    found = looking.read(settings.state_dir, loaded.signer.thumbprint, loaded.trust, Journal())
    if json:
        print(found.json())
    else:
        status_text.show(found, time.time_ns() // 1_000_000)
    return DONE


@reported
def identify(kid: str, *, config: Path) -> int:
    """Let a node show which one it is (its light changes), through the gateway that runs here.

    Example:
        tallystick gateway identify 537aac6ab90dd2d8 --config gw/gateway.toml

    Parameters
    ----------
    kid
        The node, as `gateway status` names it (16 hex digits).
    config
        The gateway.toml of the running gateway.
    """
    done, text = control.ask(configuration.load(config).state_dir, "identify", kid)
    print(text)
    return DONE if done else REFUSED


@reported
def config_check(config: Path) -> int:
    """Check a gateway.toml and the files it names. Lists everything that is wrong, each with its key and line.

    Exit code 0: good. 1: something is wrong. 2: there is no such file.

    Example:
        tallystick gateway config check gw/gateway.toml

    Parameters
    ----------
    config
        The gateway.toml.
    """
    values, complaints = configuration.examine(configuration.read(config), config.parent)
    complaints += files.complaints({key: values[key] for key in configuration.PATHS if key in values})
    complaints += files.link_complaints(values.get("links", ()))
    if complaints:
        print("\n".join(f"{config}: {complaint}" for complaint in complaints), file=sys.stderr)
        return REFUSED
    settings = configuration.Config(**values)
    loaded = files.load(settings)
    print(f"{config}: good. Gateway {loaded.signer.thumbprint.hex()} of {loaded.trust.origin}, {settings.ledger}")
    return DONE
