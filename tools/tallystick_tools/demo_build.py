"""Builds the demo's world with the same commands that a real installation uses: no shortcut, no test key."""

import re
import secrets
import time
from pathlib import Path

import httpx

from tallystick_emulators.unix_node import UnixNode
from tallystick_tools import demo_tag
from tallystick_tools.demo_parts import Part, free_port
from tallystick_tools.demo_plan import PLACES, SILENCE_FOR_MS, WARM_FOR_MS, WARM_LIMIT_TEXT, Plan
from tallystick_tools.demo_world import World
from tallystick_tools.errors import DemoError

ORIGIN = "demo.tallystick.example/log"
WITNESS_NAME = "witness.example/demo"
LOT = "09506000134352-L7"  # GTIN-14 of GS1's own examples, and a lot
GATEWAY_CHECKPOINT_MS = 500
GATEWAY_ANCHOR_MS = 2_000  # FORMATS, "Anchor": the demo's interval
CURRENCY = "CNY"
ADVANCE_BPS, HAIRCUT_WARM_BPS, HAIRCUT_SILENCE_BPS = 7_000, 5_000, 10_000
CURE_MS = 86_400_000
RULES = f"""
[rules]
warm_limit = "{WARM_LIMIT_TEXT}"
warm_for_ms = {WARM_FOR_MS}
silence_for_ms = {SILENCE_FOR_MS}
advance_bps = {ADVANCE_BPS}
haircut_warm_bps = {HAIRCUT_WARM_BPS}
haircut_silence_bps = {HAIRCUT_SILENCE_BPS}
cure_ms = {CURE_MS}
"""


def build(folder: Path, plan: Plan) -> World:
    """A running world with an opened loan; on any failure everything that was started is stopped."""
    world = World(folder, plan)
    for name in ("logs", "acks", "nodes", "people", "statements"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    try:
        make_ledger(world)
        people = make_people(world)
        demo_tag.write(world)
        make_nodes(world)
        make_gateway(world)
        open_loan(world, people)
        plan_excursion(world)
    except BaseException:
        world.stop()
        raise
    return world


def make_ledger(world: World) -> None:
    """Ledger, witness and trust.toml; both servers run afterwards."""
    ledger, witness, site = world.folder / "ledger", world.folder / "witness", world.folder / "site"
    ledger_port, witness_port = free_port(), free_port()
    world.url = f"http://127.0.0.1:{ledger_port}"
    witness_url = f"http://127.0.0.1:{witness_port}"
    world.run("cloud", "init", ledger, "--origin", ORIGIN, "--port", str(ledger_port),
              "--witness", witness_url, "--trust", site / "trust.toml")  # fmt: skip
    world.run("witness", "init", witness, "--name", WITNESS_NAME, "--log-vkey", ledger / "ledger.vkey",
              "--port", str(witness_port))  # fmt: skip
    world.run("trust", "init", site, "--ledger-vkey", ledger / "ledger.vkey",
              "--witness-vkey", witness / "witness.vkey")  # fmt: skip
    world.witness = Part(
        "witness", world.logs / "witness.log", "witness", "serve", "--config", witness / "witness.toml"
    )
    world.witness.start(lambda: listens(witness_url))
    world.ledger = Part("ledger", world.logs / "ledger.log", "cloud", "serve", "--config", world.ledger_config)
    world.ledger.start(lambda: listens(world.url))


def listens(url: str) -> bool:
    """Whether anything answers there, with whatever status."""
    try:
        httpx.get(url, timeout=1, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def enrol(world: World, role: str, key: Path, *more: str) -> str:
    """Enrol a key of `role`; its thumbprint."""
    text = world.run("trust", "enrol", role, key, "--authority", world.authority(role), "--trust", world.trust,
                     "--ledger", world.url, *more)  # fmt: skip
    return thumbprint_in(text)


def thumbprint_in(text: str) -> str:
    match = re.search(r"\b[0-9a-f]{64}\b", text)
    if match is None:
        raise DemoError(f"no thumbprint in what the command printed: {text}")
    return match[0]


def make_people(world: World) -> dict[str, str]:
    """Lender, borrower, installer and the decision key: name -> thumbprint."""
    people = world.folder / "people"
    return {
        "lender": enrol(world, "organisation", people / "lender.key", "--create"),
        "borrower": enrol(world, "organisation", people / "borrower.key", "--create"),
        "installer": enrol(world, "installer", people / "installer.key", "--create"),
        # `cloud init` made this one beside the ledger's own key: the server signs decisions with it.
        "decision": enrol(world, "decision", world.folder / "ledger" / "decision.key"),
    }


def make_nodes(world: World) -> None:
    """Three real MicroPython nodes, each enrolled over its cable."""
    for number, _ in enumerate(PLACES):
        settings = {
            "TALLYSTICK_SEED": str(world.plan.seed * len(PLACES) + number),
            "TALLYSTICK_INTERVAL_MS": str(world.plan.interval_ms),
            "TALLYSTICK_ACKS_DIR": str(world.acks),
        }
        node = UnixNode(world.folder / "nodes" / f"node-{number}", settings)
        world.nodes.append(node)
        node.start()
        text = world.run("node", "enrol", "--port", node.port, "--authority", world.authority("node"),
                         "--site-key", world.folder / "site" / "site.key", "--trust", world.trust,
                         "--ledger", world.url, "--model", "unix", "--serial", f"demo-{number}")  # fmt: skip
        world.node_keys.append(thumbprint_in(text))


def plan_excursion(world: World) -> None:
    """The first node starts anew, with its excursion on the uptime that begins now: however long all the rest took."""
    if world.plan.excursion_text:
        node = world.nodes[0]
        node.settings["TALLYSTICK_EXCURSION"] = world.plan.excursion_text
        node.restart()


def make_gateway(world: World) -> None:
    ports = [word for node in world.nodes for word in ("--port", node.port)]
    world.run("gateway", "enrol", world.folder / "gateway", "--authority", world.authority("gateway"),
              "--trust", world.trust, "--ledger", world.url, "--site-key", world.folder / "site" / "site.key",
              "--checkpoint-interval-ms", str(GATEWAY_CHECKPOINT_MS), "--anchor-interval-ms", str(GATEWAY_ANCHOR_MS),
              *ports)  # fmt: skip
    start_gateway(world)


def start_gateway(world: World) -> None:
    """Start the gateway, for the first time or again; it runs when it says so in its log."""
    log = world.logs / "gateway.log"
    if world.gateway is None:
        world.gateway = Part("gateway", log, "gateway", "run", "--config", world.gateway_config)
    before = starts(log)
    world.gateway.start(lambda: starts(log) > before)


def starts(log: Path) -> int:
    return log.read_text("utf-8", errors="replace").count("event=running") if log.exists() else 0


def sign(world: World, kind: str, key: str, text: str) -> str:
    """Sign a statement with a person's key and post it; its identity."""
    body = world.folder / "statements" / f"{kind}.toml"
    body.write_text(text, "utf-8")
    printed = world.run("trust", "sign", kind, body, "--key", world.folder / "people" / f"{key}.key",
                        "--trust", world.trust, "--ledger", world.url)  # fmt: skip
    return thumbprint_in(printed)


def open_loan(world: World, people: dict[str, str]) -> None:
    """Association, facility and pledge, each signed by the one who may, then the loan over the API."""
    plan = world.plan
    nodes = ", ".join(f'"{key}"' for key in world.node_keys)
    association = sign(world, "association", "installer",
        f'place = "{PLACES[0]}"\nlot = "{LOT}"\nnodes = [{nodes}]\nsince_ms = {now_ms()}\n')  # fmt: skip
    facility = sign(world, "facility", "lender",
        f'borrower = "{people["borrower"]}"\ndecision_key = "{people["decision"]}"\ncurrency = "{CURRENCY}"\n'
        f"limit_minor = {plan.value_minor}\n{RULES}")  # fmt: skip
    pledge = sign(world, "pledge", "borrower",
        f'facility = "{facility}"\nassociation = "{association}"\nlot = "{LOT}"\nvalue_minor = {plan.value_minor}\n'
        f'principal_minor = {plan.principal_minor}\ncurrency = "{CURRENCY}"\n')  # fmt: skip
    loan = world.api("POST", "/v1/loans", json={"facility": facility, "pledge": pledge},
                     headers={"Idempotency-Key": secrets.token_hex(16)})  # fmt: skip
    world.loan = loan["id"]


def now_ms() -> int:
    return time.time_ns() // 1_000_000
