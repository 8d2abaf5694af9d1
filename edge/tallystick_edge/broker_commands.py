"""`tallystick gateway broker-config`: a broker for a site in one command."""

from pathlib import Path

from tallystick_edge import broker_files, files, status
from tallystick_edge import config as configuration
from tallystick_edge.broker_files import BrokerPlan
from tallystick_edge.commands import reported
from tallystick_edge.errors import BrokerFilesError
from tallystick_edge.link_config import DEFAULT_MQTT_PORT
from tallystick_provisioning import site
from tallystick_provisioning.exit_codes import DONE

_THUMBPRINT_DIGITS = 64


@reported
def broker_config(
    folder: Path,
    *,
    host: list[str],
    site_key: Path,
    config: Path | None = None,
    node: list[str] | None = None,
    port: int = DEFAULT_MQTT_PORT,
    bind: str = "",
    gateway_user: str = broker_files.GATEWAY_USER,
    dry_run: bool = False,
) -> int:
    """Write what Mosquitto needs to be the broker of a site: configuration, users, access list, TLS.

    A node may publish to its own topic and hear its own topic, nothing else; its password comes out of the site key.
    Repeat it when there are new nodes: keys and passwords stay, revoked nodes go. Then send Mosquitto a SIGHUP.

    Example:
        tallystick gateway broker-config broker --host broker.example --site-key site/site.key
        tallystick gateway broker-config broker --host broker.example --site-key site/site.key
        --config gw/gateway.toml

    Parameters
    ----------
    folder
        Folder for the files; mosquitto.conf names it.
    host
        Name or address by which nodes and gateways reach the broker; once for each.
    site_key
        Key file that the gateways of the site share.
    config
        gateway.toml of a gateway of this site: every node that it knows may log in.
    node
        Thumbprint of one more node that may log in (64 hex digits, as `node enrol` prints it); once for each.
    port
        TCP port to listen on.
    bind
        Address to listen on; default: every one.
    gateway_user
        The gateways' name at the broker.
    dry_run
        Show mosquitto.conf, the access list and who may log in; write nothing.
    """
    enrolled, revoked = _known(config)
    nodes = enrolled | {_thumbprint(text) for text in node or ()}
    plan = BrokerPlan(folder, host, port, bind, gateway_user, site.load(site_key), nodes, revoked)
    plan.check()
    if dry_run:
        print(broker_files.config_text(plan), broker_files.access_text(plan), sep="\n", end="")
        print("\n".join(f"# may log in: {user}" for user in [gateway_user, *plan.users()]))
        return DONE
    users = broker_files.write(plan)
    print(_next_steps(plan, len(users) - 1))
    return DONE


def _known(config: Path | None) -> tuple[set[bytes], set[bytes]]:
    """(nodes that may log in, revoked ones) as a gateway knows them; nothing when it has never run."""
    if config is None:
        return set(), set()
    settings = configuration.load(config)
    loaded = files.load(settings)
    return status.nodes(settings.state_dir, loaded.trust)


def _thumbprint(text: str) -> bytes:
    try:
        thumbprint = bytes.fromhex(text) if len(text) == _THUMBPRINT_DIGITS else b""
    except ValueError:
        thumbprint = b""
    if not thumbprint:
        raise BrokerFilesError(f"--node: {text!r} is no thumbprint of {_THUMBPRINT_DIGITS} hex digits")
    return thumbprint


def _next_steps(plan: BrokerPlan, nodes: int) -> str:
    folder, address = plan.folder, f"{plan.hosts[0]}:{plan.port}"
    return f"""broker {address}: the user {plan.gateway_user} and {nodes} node{"" if nodes == 1 else "s"} may log in
start it:      mosquitto -c {folder / broker_files.CONFIG} (or SIGHUP when it runs)
for a gateway: tallystick gateway enrol ... --mqtt {address} --mqtt-files {folder}
for a node:    {address} and {folder / broker_files.AUTHORITY}"""
