"""What `gateway broker-config` writes, held against OpenSSL's and Mosquitto's own tools."""

import hmac
import ssl
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tallystick_edge import broker_certificates, broker_files
from tallystick_edge.broker_commands import broker_config
from tallystick_edge.broker_files import BrokerPlan
from tallystick_edge.errors import BrokerFilesError
from tallystick_provisioning import site
from tallystick_wire import broker, message

SITE_KEY = bytes(range(32))
NODE, OTHER = bytes([1]) * 32, bytes([2]) * 32


def plan(folder: Path, *nodes: bytes, gone: Sequence[bytes] = (), hosts: Sequence[str] = ("b.example",)) -> BrokerPlan:
    return BrokerPlan(folder, hosts, 8883, "", "gateway", SITE_KEY, nodes, gone)


def test_a_password_is_one_that_mosquitto_makes(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(path), "me", "a word"], check=True, capture_output=True)
    hashed = path.read_text("ascii").strip().partition(":")[2]
    assert broker_files.fits(hashed, "a word")
    assert not broker_files.fits(hashed, "another word")
    assert not broker_files.fits("$6$salt$hash", "a word")
    assert not broker_files.fits("", "a word")


def test_certificates_hold_by_a_strict_reader(tmp_path: Path) -> None:
    broker_files.write(plan(tmp_path, hosts=("b.example", "192.0.2.7")))
    ca, server = tmp_path / "ca.crt", tmp_path / "server.crt"
    strict = ["openssl", "verify", "-x509_strict", "-CAfile", str(ca)]
    for name in (["-verify_hostname", "b.example"], ["-verify_ip", "192.0.2.7"]):
        subprocess.run([*strict, *name, str(server)], check=True, capture_output=True)
    assert subprocess.run([*strict, "-verify_hostname", "c.example", str(server)], capture_output=True).returncode != 0
    assert broker_certificates.hosts_of(server.read_bytes()) == ["b.example", "192.0.2.7"]
    ssl.create_default_context(cafile=ca)


def test_secrets_are_private(tmp_path: Path) -> None:
    broker_files.write(plan(tmp_path, NODE))
    for name in ("ca.key", "server.key", "gateway.password", "passwords"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name


def test_repeating_it_changes_nothing_and_adds_nodes(tmp_path: Path) -> None:
    first = broker_files.write(plan(tmp_path, NODE))
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    broker_files.write(plan(tmp_path, NODE))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == files
    both = broker_files.write(plan(tmp_path, OTHER))
    assert both == first | {broker.user(OTHER[:8]): both[broker.user(OTHER[:8])]}
    assert broker_files.fits(both[broker.user(OTHER[:8])], broker.password(message.link_key(SITE_KEY, OTHER)))


def test_a_revoked_node_may_not_log_in_any_more(tmp_path: Path) -> None:
    broker_files.write(plan(tmp_path, NODE, OTHER))
    assert set(broker_files.write(plan(tmp_path, OTHER, gone=(NODE,)))) == {broker.user(OTHER[:8]), "gateway"}


def test_another_name_is_another_certificate_under_the_same_authority(tmp_path: Path) -> None:
    broker_files.write(plan(tmp_path))
    before = {name: (tmp_path / name).read_bytes() for name in ("ca.crt", "ca.key", "server.key", "server.crt")}
    broker_files.write(plan(tmp_path, hosts=("c.example",)))
    after = {name: (tmp_path / name).read_bytes() for name in before}
    assert [name for name in before if before[name] != after[name]] == ["server.crt"]


def test_names_that_would_be_something_else_in_a_file_are_refused(tmp_path: Path) -> None:
    for user, host in (("a\nuser root", "b.example"), ("+", "b.example"), ("gateway", "b.example\nuser root")):
        with pytest.raises(BrokerFilesError):
            BrokerPlan(tmp_path, [host], 8883, "", user, SITE_KEY, ()).check()


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.create(tmp_path / "site.key", lambda count: SITE_KEY[:count])
    folder = tmp_path / "broker"
    arguments = {"host": ["b.example"], "site_key": tmp_path / "site.key", "node": [NODE.hex()]}
    assert broker_config(folder, **arguments, dry_run=True) == 0  # type: ignore[arg-type]
    assert not folder.exists()
    told = capsys.readouterr().out
    assert "allow_anonymous false" in told
    assert "pattern write tallystick/%u/up" in told
    assert f"# may log in: {broker.user(NODE[:8])}" in told
    assert broker_config(folder, **arguments | {"node": ["01"]}) == 2  # type: ignore[arg-type]
    assert "no thumbprint of 64 hex digits" in capsys.readouterr().err
    assert broker_config(folder, **arguments) == 0  # type: ignore[arg-type]
    assert "the user gateway and 1 node may log in" in capsys.readouterr().out


def test_names_as_the_specification_says() -> None:
    kid, link_key = bytes(range(8)), bytes(range(32))
    assert (broker.up_topic(kid), broker.down_topic(kid)) == (
        "tallystick/0001020304050607/up",
        "tallystick/0001020304050607/down",
    )
    assert broker.user(kid) == "0001020304050607"
    assert broker.password(link_key) == hmac.digest(link_key, b"tallystick/mqtt/v1\0", "sha256")[:16].hex()


def test_topics() -> None:
    kid = bytes(range(8))
    assert broker.kid_of(broker.up_topic(kid)) == kid
    wrong = ("tallystick/0011/up", "tallystick/000102030405060G/up", "x/0001020304050607/up", "")
    for topic in (broker.down_topic(kid), *wrong):
        assert broker.kid_of(topic) is None
    assert broker.kid_of(broker.up_topic(kid).upper()) is None
