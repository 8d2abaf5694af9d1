"""`tallystick witness init` and `tallystick witness serve`."""

import signal
import sys
import threading
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tallystick_proof import keys, note
from tallystick_proof.errors import NoteError
from tallystick_proof.note import VerifierKey
from tallystick_provisioning import key_file, lock_file, text_file, whole_file
from tallystick_provisioning.exit_codes import DONE, reporting
from tallystick_provisioning.toml_text import quoted
from tallystick_provisioning.trust_setup import new_files, read_vkey
from tallystick_tools.errors import WitnessError
from tallystick_tools.witness import MAX_LOGS, Witness, save_state
from tallystick_tools.witness_server import WitnessServer

DEFAULT_PORT = 8089
MAX_CONFIG_BYTES = 64 * 1024  # the most logs at their longest names
_KEYS = ("name", "key", "state", "host", "port", "logs")


@dataclass(frozen=True, slots=True)
class WitnessConfig:
    """witness.toml, checked; paths are relative to its folder."""

    name: str
    key: Path
    state: Path
    host: str
    port: int
    logs: dict[str, list[VerifierKey]]


@reporting(failures=(WitnessError,))
def init(
    folder: Path,
    *,
    name: str,
    log_vkey: Annotated[list[Path] | None, Parameter(negative=())] = None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
) -> int:
    """Make a witness: its key (0600), witness.vkey, an empty state, and witness.toml.

    Example:
        tallystick witness init w1 --name witness.example/w1 --log-vkey ledger/ledger.vkey

    Parameters
    ----------
    folder
        A new folder for the witness's files.
    name
        The witness's key name: an address without a scheme.
    log_vkey
        The .vkey file of a log to cosign; may be given again.
    host
        The address to listen on.
    port
        The port to listen on.
    """
    vkeys = [read_vkey(path, note.TYPE_ED25519, "a log's").vkey for path in log_vkey or []]
    text = _toml(name, host, port, vkeys)
    parse(text, folder)  # what will be written must be what `serve` takes
    new_files(folder, [folder / file for file in ("witness.key", "state.json", "witness.vkey", "witness.toml")])
    folder.mkdir(parents=True, exist_ok=True)
    signer = key_file.create(folder / "witness.key", keys.WITNESS)
    # A crash from here on leaves no witness.toml, so nothing that would start: remove the folder and begin again.
    save_state(folder / "state.json", {})
    vkey = VerifierKey(name, note.TYPE_COSIGNATURE, signer.public_key).vkey
    whole_file.write(folder / "witness.vkey", [f"{vkey}\n".encode()])
    whole_file.write(folder / "witness.toml", [text.encode()])
    print(vkey)
    return DONE


@reporting(failures=(WitnessError,))
def serve(*, config: Path) -> int:
    """Serve a witness until SIGTERM.

    Example:
        tallystick witness serve --config w1/witness.toml

    Parameters
    ----------
    config
        The witness.toml that `witness init` wrote.
    """
    settings = load(config)
    signer = key_file.load(settings.key, keys.WITNESS)
    lock = settings.state.with_name(settings.state.name + ".lock")
    # Two processes on one state could each cosign what the other does not know.
    with lock_file.held(lock, f"another witness runs with {settings.state}"):
        witness = Witness(signer, settings.name, settings.logs, settings.state, lambda: int(time.time()))
        try:
            server = WitnessServer((settings.host, settings.port), witness)
        except OSError as error:
            raise WitnessError(f"host, port: {settings.host}:{settings.port}: {error.strerror}") from None

        def stop(*_: object) -> None:
            threading.Thread(target=server.shutdown).start()  # shutdown waits for serve_forever, so not from here

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        print(f"witness {settings.name} on {settings.host}:{server.server_port}", file=sys.stderr, flush=True)
        with server:
            server.serve_forever(poll_interval=0.1)
    return DONE


def load(path: Path) -> WitnessConfig:
    """The configuration in `path`; WitnessError names what is wrong."""
    text = text_file.read(path, MAX_CONFIG_BYTES)
    try:
        return parse(text, path.parent)
    except WitnessError as error:
        raise WitnessError(f"{path}: {error}") from None


def parse(text: str, folder: Path) -> WitnessConfig:
    """The configuration in a witness.toml's text; paths are relative to `folder`."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise WitnessError(f"not TOML: {error}") from None
    unknown = [key for key in table if key not in _KEYS]
    if unknown:
        raise WitnessError(f"unknown key {unknown[0]!r}; known are {', '.join(_KEYS)}")
    missing = [key for key in _KEYS if key not in table]
    if missing:
        raise WitnessError(f"the key {missing[0]!r} is missing")
    for key in ("name", "key", "state", "host"):
        if not isinstance(table[key], str) or not table[key]:
            raise WitnessError(f"{key} must be text")
    port = table["port"]
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65_535:
        raise WitnessError("port must be an integer from 0 to 65535")
    try:
        note.check_name(table["name"])
    except NoteError as error:
        raise WitnessError(f"name: {error}") from None
    return WitnessConfig(
        name=table["name"],
        key=folder / table["key"],
        state=folder / table["state"],
        host=table["host"],
        port=port,
        logs=_logs(table["logs"]),
    )


def _logs(vkeys: object) -> dict[str, list[VerifierKey]]:
    """origin -> its keys; a log's key name is its origin."""
    if not isinstance(vkeys, list) or len(vkeys) > MAX_LOGS:
        raise WitnessError(f"logs must be a list of at most {MAX_LOGS} verifier keys")
    logs: dict[str, list[VerifierKey]] = {}
    for item in vkeys:
        try:
            vkey = VerifierKey.parse(str(item))
        except NoteError as error:
            raise WitnessError(f"logs: {error}") from None
        if vkey.key_type != note.TYPE_ED25519:
            raise WitnessError("logs: a log key has signature type 1")
        logs.setdefault(vkey.name, []).append(vkey)
    return logs


def _toml(name: str, host: str, port: int, logs: list[str]) -> str:
    listed = "".join(f"    {quoted(vkey)},\n" for vkey in logs)
    return (
        "# A witness of transparency logs. `logs` holds the verifier keys of the logs that it cosigns.\n"
        f'name = {quoted(name)}\nkey = "witness.key"\nstate = "state.json"\nhost = {quoted(host)}\nport = {port}\n'
        f"logs = [\n{listed}]\n"
    )
