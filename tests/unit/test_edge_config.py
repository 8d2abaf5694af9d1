"""gateway.toml: what is refused, and that the complaint names key and line."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick_edge import commands, config, link_config
from tallystick_edge.config import Config
from tallystick_edge.errors import ConfigError
from tallystick_edge.link_config import MqttConfig, SerialConfig

GOOD = config.template(
    "../site/trust.toml", "http://ledger.example/", "../site/site.key", ["/dev/ttyUSB0", "/dev/ttyACM1"], {}
)


def parse(text: str) -> Config:
    return config.parse(text, Path("/gw"))


def test_the_template_is_good() -> None:
    made = parse(GOOD)
    assert made.ledger == "http://ledger.example"
    assert made.trust == Path("/gw/../site/trust.toml")
    assert made.links == (SerialConfig("/dev/ttyUSB0"), SerialConfig("/dev/ttyACM1"))
    assert (made.checkpoint_interval_ms, made.commit_rows, made.commit_ms) == (60_000, 200, 50)
    assert (made.anchor_interval_ms, made.metrics_port) == (600_000, 0)


def test_the_template_takes_numbers_and_any_path() -> None:
    odd = 'a "quoted" \\ path\n'
    made = parse(config.template(odd, "https://l.example/x", "s", ["/dev/x"], {"commit_ms": 7, "metrics_port": 9100}))
    assert (made.commit_ms, made.metrics_port, made.ledger) == (7, 9100, "https://l.example/x")
    assert str(made.trust) == f"/gw/{odd}"


def test_links_may_be_tables() -> None:
    text = GOOD.replace(GOOD[GOOD.index("links =") : GOOD.index("\n", GOOD.index("links ="))], "")
    assert parse(text + '[[links]]\nkind = "serial"\nport = "/dev/a"\n').links == (SerialConfig("/dev/a"),)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("state_dir =", "state_folder ="), "line 2: unknown key 'state_folder'"),
        (("ledger =", "# ledger ="), "the key 'ledger' is missing"),
        (('ledger = "http://ledger.example/"', 'ledger = "ledger.example"'), "line 4: ledger: "),
        (('ledger = "http://ledger.example/"', 'ledger = "http://[::1"'), "line 4: ledger: "),
        (("# commit_rows = 200", "commit_rows = 0"), "line 13: commit_rows must be an integer from 1 to 1000, not 0"),
        (("# commit_rows = 200", "commit_rows = true"), "commit_rows must be an integer"),
        (("# commit_rows = 200", 'commit_rows = "9"'), "commit_rows must be an integer"),
        (('kind = "serial", port = "/dev/ttyACM1"', 'kind = "serial"'), "line 8: link 2: the key 'port' is missing"),
        (('kind = "serial", port = "/dev/ttyACM1"', 'kind = "ble", port = "x"'), "line 8: link 2: kind must be"),
        (('port = "/dev/ttyACM1"', 'port = "x", baud = 9600'), "line 8: link 2: unknown key 'baud'"),
        (('port = "/dev/ttyACM1"', 'port = "/dev/ttyUSB0"'), "line 8: link 2: serial:/dev/ttyUSB0 occurs twice"),
        (('ledger = "http://ledger.example/"', 'ledger = "http://me:pw@ledger.example"'), "has no user"),
        (('key = "gateway.key"', "key = 5"), "line 5: key must be text"),
        (("# commit_rows = 200", "commit_rows = ]"), "line 13"),
        (("# commit_rows = 200", "[metrics]\nport = 5"), "line 13: unknown key 'metrics'"),
    ],
)
def test_refused(change: tuple[str, str], complaint: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        parse(GOOD.replace(*change))


def test_all_complaints_are_made_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gateway.toml"
    text = GOOD.replace("state_dir =", "state_folder =").replace("# commit_rows = 200", "commit_rows = 0")
    path.write_text(text.replace("/dev/ttyACM1", "/dev/ttyUSB0").replace("token =", "# token ="), "utf-8")
    assert commands.config_check(path) == 1
    told = capsys.readouterr().err.splitlines()
    assert all(line.startswith(f"{path}: ") for line in told)
    for complaint in (
        "line 2: unknown key 'state_folder'",
        "the key 'state_dir' is missing",
        "the key 'token' is missing",
        "line 8: link 2: serial:/dev/ttyUSB0 occurs twice",
        "line 13: commit_rows must be an integer",
        "trust: /",  # the files that are named are looked at too
        f"key: {tmp_path}/gateway.key: No such file",
        "site_key: ",
    ):
        assert any(complaint in line for line in told), complaint
    assert len(told) == 8
    assert commands.run(config=path) == 2
    assert "line 2: unknown key 'state_folder'" in capsys.readouterr().err


def test_the_state_folder_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gateway.toml").write_text(GOOD.replace('"state"', '"gateway.toml"'), "utf-8")
    assert commands.config_check(tmp_path / "gateway.toml") == 1
    assert "state_dir: " in capsys.readouterr().err
    assert commands.config_check(tmp_path / "none.toml") == 2


def test_links_are_bounded() -> None:
    many = ", ".join('{ kind = "serial", port = "/dev/a" }' for _ in range(link_config.MAX_LINKS + 1))
    start = GOOD.index("links =")
    for links in (f"links = [{many}]", "links = []", "links = 5"):
        with pytest.raises(ConfigError, match="links must be an array of 1 to 16 tables"):
            parse(GOOD[:start] + links + GOOD[GOOD.index("\n", start) :])


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    with pytest.raises(ConfigError, match="No such file"):
        config.load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load(path)
    path.write_bytes(b"#" * (config.MAX_CONFIG_BYTES + 1))
    with pytest.raises(ConfigError, match="more than"):
        config.load(path)
    path.write_text("nonsense = 1", "utf-8")
    with pytest.raises(ConfigError, match=f"{path}: line 1: unknown key 'nonsense'"):
        config.load(path)
    path.write_text(GOOD, "utf-8")
    assert config.load(path).state_dir == tmp_path / "state"


MQTT = '{ kind = "mqtt", host = "b.example", ca = "ca.crt", username = "gateway", password_file = "pw" }'


def with_links(links: str) -> str:
    start = GOOD.index("links =")
    return GOOD[:start] + f"links = [{links}]" + GOOD[GOOD.index("\n", start) :]


def test_a_broker(tmp_path: Path) -> None:
    made = config.parse(with_links(MQTT), tmp_path).links
    assert made == (MqttConfig("b.example", tmp_path / "ca.crt", "gateway", tmp_path / "pw", 8883),)
    assert made[0].name == "mqtt:b.example:8883"
    again = config.template("trust.toml", "https://l.example", "s", [], {}, [replace(made[0], port=1)])
    assert config.parse(again, tmp_path).links == (replace(made[0], port=1),)


def test_all_that_is_wrong_with_a_broker_is_said_at_once() -> None:
    wrong = MQTT.replace('"b.example"', '"b example"').replace("ca =", "cafile =").replace('"gateway"', '""')
    with pytest.raises(ConfigError) as found:
        parse(with_links(wrong.replace(" }", ", port = 0 }")))
    told = "\n".join(found.value.complaints)
    for complaint in (
        "link 1: unknown key 'cafile'; known are kind, host, port, ca, username, password_file",
        "link 1: the key 'ca' is missing",
        "link 1: host must be a host name or address",
        "link 1: username must be text of 1 to 64 characters",
        "link 1: port must be an integer from 1 to 65535, not 0",
    ):
        assert complaint in told
    with pytest.raises(ConfigError, match=re.escape("link 2: mqtt:b.example:8883 occurs twice")):
        parse(with_links(f"{MQTT}, {MQTT}"))


def test_the_files_of_a_broker_are_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(with_links(MQTT), "utf-8")
    (tmp_path / "ca.crt").write_text("no certificate", "utf-8")
    (tmp_path / "pw").write_text("secret", "utf-8")
    (tmp_path / "pw").chmod(0o644)
    assert commands.config_check(path) == 1
    told = capsys.readouterr().err
    assert f"mqtt:b.example:8883: ca: {tmp_path}/ca.crt: " in told
    assert f"password_file: {tmp_path}/pw: mode 0644 lets others read a secret" in told
