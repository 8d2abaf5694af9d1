"""What Mosquitto needs to be a site's broker: its configuration, who may log in, who may say and hear what, and TLS.

Everything comes from the site key and the list of nodes, so the command may be repeated at will: keys, certificates and
passwords that are there stay, nodes are added, revoked ones go.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tallystick_edge.errors import BrokerFilesError
from tallystick_provisioning import secret_file, whole_file
from tallystick_provisioning.errors import FileError
from tallystick_wire import broker, message, reading

CONFIG, ACCESS, PASSWORDS, DATA = "mosquitto.conf", "acl", "passwords", "data"
AUTHORITY_KEY, AUTHORITY, SERVER_KEY, SERVER = "ca.key", "ca.crt", "server.key", "server.crt"
GATEWAY_USER = "gateway"
GATEWAY_PASSWORD = "gateway.password"  # noqa: S105  the name of a file
MAX_QUEUED = 20_000  # for a gateway that is away: what 100 nodes send before their messages expire, some MB
PBKDF2_ROUNDS = 101  # what mosquitto_passwd takes: these passwords are 128 random bits, nobody guesses them
_NAME, _HOST = re.compile(r"[A-Za-z0-9.-]{1,64}"), re.compile(r"[A-Za-z0-9.:-]{1,64}")
_SALT_BYTES, _HASH_BYTES = 12, 64
_PASSWORD_BYTES = 24


@dataclass(frozen=True, slots=True)
class BrokerPlan:
    """A broker for `nodes` (thumbprints), reachable as `hosts`; `gone` are thumbprints that may not log in any more."""

    folder: Path
    hosts: Sequence[str]
    port: int
    bind: str
    gateway_user: str
    site_key: bytes
    nodes: Collection[bytes]
    gone: Collection[bytes] = ()

    def check(self) -> None:
        """BrokerFilesError when a name cannot stand in the files."""
        if not _NAME.fullmatch(self.gateway_user):
            raise BrokerFilesError(f"--gateway-user: {self.gateway_user!r} is not letters, digits, dots and dashes")
        for host in (*self.hosts, *([self.bind] if self.bind else [])):
            if not _HOST.fullmatch(host):
                raise BrokerFilesError(f"{host!r} is no host name or address")

    def users(self) -> dict[str, str]:
        """The nodes' names and passwords at the broker."""
        return {
            broker.user(thumbprint[: reading.KID_BYTES]): broker.password(message.link_key(self.site_key, thumbprint))
            for thumbprint in sorted(self.nodes)
        }


def config_text(plan: BrokerPlan) -> str:
    """mosquitto.conf."""
    folder = plan.folder.resolve()
    return f"""# The broker of a Tallystick site, for Mosquitto 2. Made by `tallystick gateway broker-config`.
per_listener_settings false
listener {plan.port}{f" {plan.bind}" if plan.bind else ""}
cafile {folder / AUTHORITY}
certfile {folder / SERVER}
keyfile {folder / SERVER_KEY}
tls_version tlsv1.2
allow_anonymous false
password_file {folder / PASSWORDS}
acl_file {folder / ACCESS}

# What gateways have not acknowledged survives a restart of the broker, and of the gateway.
persistence true
persistence_location {folder / DATA}/
autosave_interval 60
persistent_client_expiration 7d
max_queued_messages {MAX_QUEUED}
max_packet_size 4096
set_tcp_nodelay true
"""


def access_text(plan: BrokerPlan) -> str:
    """The access list: a node says only what is its own, and hears only what is for it."""
    return f"""user {plan.gateway_user}
topic read {broker.ALL_NODES_UP}
topic write {broker.ALL_NODES_UP.removesuffix("up")}down

pattern write tallystick/%u/up
pattern read tallystick/%u/down
"""


def write(plan: BrokerPlan, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> dict[str, str]:
    """Make what is missing and bring the rest up to date; returns {user: password hash} of all who may log in."""
    from tallystick_edge import broker_certificates  # a gateway runs without the library that makes certificates

    folder = plan.folder
    (folder / DATA).mkdir(parents=True, exist_ok=True)
    authority_key = _secret(folder / AUTHORITY_KEY, broker_certificates.new_key)
    server_key = _secret(folder / SERVER_KEY, broker_certificates.new_key)
    gateway_password = _secret(folder / GATEWAY_PASSWORD, lambda: random_bytes(_PASSWORD_BYTES).hex() + "\n").strip()
    try:
        if not (folder / AUTHORITY).exists():
            whole_file.write(folder / AUTHORITY, [broker_certificates.authority(authority_key)])
        server = folder / SERVER
        if not server.exists() or broker_certificates.hosts_of(server.read_bytes()) != list(plan.hosts):
            whole_file.write(server, [broker_certificates.server(server_key, authority_key, plan.hosts)])
    except ValueError as error:
        raise BrokerFilesError(f"{folder}: {AUTHORITY_KEY} or {SERVER_KEY} is no key of ours: {error}") from None
    users = {**plan.users(), plan.gateway_user: gateway_password}
    gone = {broker.user(thumbprint[: reading.KID_BYTES]) for thumbprint in plan.gone}
    known = {user: hashed for user, hashed in _read(folder / PASSWORDS).items() if user not in gone}
    hashes = known | {user: _kept(known.get(user), password, random_bytes) for user, password in users.items()}
    _write_passwords(folder / PASSWORDS, hashes)
    whole_file.write(folder / ACCESS, [access_text(plan).encode()])
    whole_file.write(folder / CONFIG, [config_text(plan).encode()])
    return hashes


def hash_password(password: str, salt: bytes, rounds: int = PBKDF2_ROUNDS) -> str:
    """As mosquitto_passwd writes it: $7$, PBKDF2 with SHA-512."""
    derived = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, _HASH_BYTES)
    return f"$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}"


def fits(hashed: str, password: str) -> bool:
    """Whether a line of a password file is for this password."""
    try:
        _, kind, rounds, salt, _ = hashed.split("$")
        return kind == "7" and hash_password(password, base64.b64decode(salt), int(rounds)) == hashed
    except ValueError:
        return False


def _kept(hashed: str | None, password: str, random_bytes: Callable[[int], bytes]) -> str:
    if hashed is not None and fits(hashed, password):
        return hashed
    return hash_password(password, random_bytes(_SALT_BYTES))


def _secret(path: Path, make: Callable[[], str]) -> str:
    """The secret in `path`, made when it is not there."""
    if not path.exists():
        secret_file.write_new(path, make())
    return secret_file.read(path)


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("ascii").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: {error}") from None
    return {user: hashed for user, separator, hashed in (line.partition(":") for line in lines) if separator}


def _write_passwords(path: Path, hashes: Mapping[str, str]) -> None:
    whole_file.write(path, [f"{user}:{hashed}\n".encode() for user, hashed in hashes.items()])
    path.chmod(0o600)
