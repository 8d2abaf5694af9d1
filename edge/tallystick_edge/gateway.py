"""The gateway's whole life on one screen.

    link threads --queue--> writer thread: judge -> commit (fsync) -> ack, anchors      link.py, intake.py, writer.py
    (serial ports, brokers) sync thread: sign checkpoints -> send -> keep the answer    mqtt_link.py, sync.py
                            one log between them: buffer, journal and Merkle log        log.py
"""

import threading
from pathlib import Path

from tallystick_edge import heartbeat, recovery, state_folder
from tallystick_edge.clock import Clock
from tallystick_edge.config import Config
from tallystick_edge.control import Control
from tallystick_edge.entries import EntryMaker
from tallystick_edge.errors import LogDamaged
from tallystick_edge.files import Files
from tallystick_edge.journal import Journal
from tallystick_edge.known import Known
from tallystick_edge.link import Link, SerialLink
from tallystick_edge.link_config import LinkConfig, SerialConfig
from tallystick_edge.log import Log, salvage
from tallystick_edge.metrics import Metrics
from tallystick_edge.recovery import Recovered
from tallystick_edge.sync import Syncer
from tallystick_edge.writer import Writer
from tallystick_proof import entry

IDLE_S = 0.2  # how soon an idle writer looks at anchors, downlink and `stop`
SALVAGE_ROWS = 500  # one commit while a damaged log is read


def run(config: Config, files: Files, journal: Journal, stop: threading.Event, clock: Clock) -> None:
    """Take in, keep, acknowledge, sync, until `stop`; returns after a last commit and a last try to sync."""
    with state_folder.locked(config.state_dir) as path:
        log, known, found = recover(path, files, journal)
        maker = EntryMaker(found.boot + 1, clock)
        recovery.repair(log, found, journal, maker)
        metrics = Metrics()
        writer = Writer(config, files, log, known, maker, metrics, journal)
        # The first entry of every boot says so: a verifier sees where the gateway was down.
        writer.say(entry.NOTE_BOOT, {"rows": found.rows, "bad_rows": len(found.bad_rows)})
        syncer = Syncer(config, files, log, maker, metrics, journal, writer.offer_anchor)
        links = [_link(one, files, writer, metrics) for one in config.links]
        control = Control(path.parent)
        syncing = threading.Thread(target=syncer.run, args=(stop,), name="sync")
        if config.metrics_port:
            metrics.serve(config.metrics_port)
        try:
            writer.step(0)
            for link in links:
                link.start(stop)
            syncing.start()
            journal.info("running", boot=maker.boot, rows=found.rows, links=len(links))
            heartbeat.notify(heartbeat.READY)
            while not stop.is_set():
                writer.step(IDLE_S)
                control.step(writer.staff_asks)
                heartbeat.notify(heartbeat.ALIVE)
        finally:
            heartbeat.notify(heartbeat.STOPPING)
            stop.set()
            control.close()
            for link in links:
                link.join()
            if syncing.ident is not None:
                syncing.join()
            writer.drain()
            syncer.finish()
            metrics.stop()
            journal.info("stopped", rows=len(log), backlog=log.backlog())
            log.close()


def _link(settings: LinkConfig, files: Files, writer: Writer, metrics: Metrics) -> Link:
    if isinstance(settings, SerialConfig):
        return SerialLink(settings.port, writer.arrivals, metrics, writer.link_changed)
    # Only what reads a broker needs its library.
    from tallystick_edge.mqtt_link import MqttLink

    client_id = f"tallystick-{files.signer.thumbprint.hex()}"
    return MqttLink(settings, client_id, writer.arrivals, metrics, writer.link_changed)


def recover(path: Path, files: Files, journal: Journal) -> tuple[Log, Known, Recovered]:
    """The log at `path` and what it says. A log that SQLite cannot read is set aside, and read as far as it goes."""
    try:
        return _open(path, files, journal)
    except LogDamaged as error:
        aside = state_folder.set_aside(path)
        journal.error("log-damaged", why=error, moved_to=aside)
    log = Log.open(path)
    group: list[bytes] = []
    for data in salvage(aside):
        group.append(data)
        if len(group) == SALVAGE_ROWS:
            _keep_unverified(log, group)
    _keep_unverified(log, group)
    journal.error("log-salvaged", rows=len(log))
    log.close()
    return _open(path, files, journal)


def _open(path: Path, files: Files, journal: Journal) -> tuple[Log, Known, Recovered]:
    log, known = Log.open(path), Known(files.trust)
    try:
        return log, known, recovery.recover(log, known, journal)
    except BaseException:
        log.close()
        raise


def _keep_unverified(log: Log, group: list[bytes]) -> None:
    # Their signatures are checked at the next step of the start: a flipped bit is not acknowledged.
    if group:
        log.commit(group, range(len(group)))
        group.clear()
