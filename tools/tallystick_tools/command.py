"""The root command: names every subcommand by string and imports it only when it is used.

A gateway therefore runs without the cloud's packages, and `pip install .` without extras verifies bundles.
Exit codes: 0 done, 1 refused or not verified, 2 could not run or wrong usage.
"""

import os
import signal
import sys
from importlib import metadata
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter

from tallystick_tools import plain_text
from tallystick_tools.command_help import show_whole_page, usage_error

HELP = """Sensor readings that a bank can lend against, checked back to the sensor's own signature.

Start with `tools/demo`, or read docs/quickstart.md.
"""

Commands = dict[str, tuple[str, str]]  # command -> ("module:function", one line of help)

# group -> (help, commands). The extra that a group needs stands in EXTRAS.
GROUPS: dict[str, tuple[str, Commands]] = {
    "node": (
        "Sensor nodes: give them identities, or run one on this machine.",
        {
            "enrol": (
                "tallystick_fleet.node_commands:enrol",
                "Give a connected node its identity over the cable.",
            ),
            "provision": (
                "tallystick_fleet.provision_command:provision",
                "Turn connected boards into working nodes, a few at a time.",
            ),
            "list": ("tallystick_fleet.node_fleet_commands:list_nodes", "List the site's nodes."),
            "place": ("tallystick_fleet.place_commands:place", "Write down where a node hangs."),
            "identify": ("tallystick_fleet.node_fleet_commands:identify", "Make a connected node show itself."),
            "labels": ("tallystick_fleet.node_label:labels", "Print the labels of the working nodes."),
            "survey": ("tallystick_fleet.node_fleet_commands:survey", "Which nodes the gateway hears."),
            "sign-config": (
                "tallystick_fleet.update_commands:sign_config",
                "Sign a configuration for nodes, written as TOML.",
            ),
            "sign-firmware": (
                "tallystick_fleet.update_commands:sign_firmware",
                "Sign a firmware image for nodes.",
            ),
            "update": (
                "tallystick_fleet.update_commands:update",
                "Bring a signed configuration or firmware to a connected node.",
            ),
            "simulate": ("tallystick_tools.simulate:simulate", "Run a real MicroPython node on a pty of this machine."),
        },
    ),
    "tag": (
        "NFC tags: give items their identities.",
        {
            "write": ("tallystick_tags.tag_commands:write", "Write a job's tags, hands free."),
            "verify": ("tallystick_tags.tag_pass_commands:verify", "Check one tag as a phone sees it."),
            "check": ("tallystick_tags.tag_pass_commands:check", "Scan a label, tap its tag: they must match."),
            "lock": ("tallystick_tags.tag_pass_commands:lock", "Second pass: lock every written tag for good."),
            "resume": ("tallystick_tags.tag_pass_commands:resume", "Go on with a tag that was begun."),
            "recover": (
                "tallystick_tags.tag_pass_commands:recover",
                "Make a tag wholly ours or blank, whatever happened.",
            ),
            "reset": ("tallystick_tags.tag_pass_commands:reset", "Make a tag blank, before it is locked."),
            "retire": ("tallystick_tags.tag_pass_commands:retire", "Empty a tag for good."),
            "labels": ("tallystick_tags.label_commands:labels", "Print the job's labels to PDF or ZPL."),
            "report": ("tallystick_tags.tag_report:report", "Say how far a job is."),
            "sync": ("tallystick_tags.tag_sending:sync", "Sign what is finished and send it to the ledger."),
        },
    ),
    "sheet": (
        "The closing sheet of an installer's day.",
        {
            "write": ("tallystick_tags.sheet_commands:write", "Write and sign the sheet of tags and nodes."),
            "verify": ("tallystick_tags.sheet_commands:verify", "Check a sheet and its signature, offline."),
        },
    ),
    "gateway": (
        "The gateway: takes readings in, keeps them, syncs them.",
        {
            "enrol": ("tallystick_edge.commands:enrol", "Make a gateway's key and token and enrol it."),
            "run": ("tallystick_edge.commands:run", "Run the gateway."),
            "status": ("tallystick_edge.commands:status", "Show what the gateway holds and what the ledger confirmed."),
            "identify": ("tallystick_edge.commands:identify", "Let a node blink, through the running gateway."),
            "broker-config": (
                "tallystick_edge.broker_commands:broker_config",
                "Write what Mosquitto needs to be a site's broker.",
            ),
        },
    ),
    "cloud": (
        "The ledger and what stands on it.",
        {
            "init": ("tallystick_web.commands:init", "Make a ledger's key, API token and cloud.toml."),
            "serve": ("tallystick_web.commands:serve", "Serve ledger, evidence and loans over HTTP."),
            "status": ("tallystick_web.commands:status", "List nodes, loans and the last proof."),
            "fsck": ("tallystick_web.commands:fsck", "Derive everything in the database anew and compare."),
        },
    ),
    "witness": (
        "A C2SP witness: cosigns a log only when it grew honestly.",
        {
            "init": ("tallystick_tools.witness_commands:init", "Make a witness key and configuration."),
            "serve": ("tallystick_tools.witness_commands:serve", "Serve a witness (C2SP tlog-witness)."),
        },
    ),
    "trust": (
        "Authorities, identities and signed statements.",
        {
            "init": ("tallystick_provisioning.trust_commands:init", "Make the authorities and trust.toml."),
            "enrol": (
                "tallystick_provisioning.trust_commands:enrol",
                "Enrol an organisation, installer or decision key.",
            ),
            "sign": ("tallystick_provisioning.trust_commands:sign", "Sign a statement written as TOML, and post it."),
        },
    ),
    "bench": (
        "Measure, as CPU-seconds and as ratios against a named peer in the same run.",
        {
            "chain": ("tallystick_tools.bench:chain", "Readings per CPU-second for each step of the chain."),
            "node": ("tallystick_tools.bench:node", "What a reading costs a board: instructions, bytes, flash, heap."),
            "nfc": ("tallystick_tools.bench:nfc", "Tags a minute over the emulated link, beside nfcpy's plain write."),
        },
    ),
}

# (group, subgroup) -> (help, commands)
SUBGROUPS: dict[tuple[str, str], tuple[str, Commands]] = {
    ("tag", "job"): (
        "What is to be written, checked before the first tag.",
        {
            "new": ("tallystick_tags.tag_job_commands:new", "Make a job from a CSV or XLSX table."),
            "scan": ("tallystick_tags.tag_job_commands:scan", "Collect the UIDs of a job's tags."),
            "seal": ("tallystick_tags.tag_job_commands:seal", "Pack a job's keys for the installer's laptop."),
            "release": ("tallystick_tags.tag_job_commands:release", "Give the row of a lost tag free."),
        },
    ),
    ("tag", "keys"): (
        "The master key, from which all tag keys come.",
        {"new": ("tallystick_tags.tag_job_commands:keys_new", "Make a master key on a token or in a file.")},
    ),
    ("gateway", "config"): (
        "The gateway's configuration file.",
        {"check": ("tallystick_edge.commands:config_check", "Check a gateway.toml; name every wrong key.")},
    ),
    ("cloud", "export"): (
        "Raw data out of the ledger.",
        {"readings": ("tallystick_web.commands:export_readings", "Write every reading once, as a CBOR sequence.")},
    ),
    ("cloud", "evidence"): (
        "Fetch bundles that `tallystick verify` checks offline.",
        {
            "reading": ("tallystick_web.commands:evidence_reading", "Fetch the bundle that proves one reading."),
            "window": ("tallystick_web.commands:evidence_window", "Fetch the bundle that proves a window of readings."),
            "decision": (
                "tallystick_web.commands:evidence_decision",
                "Fetch the bundle from which a decision is recomputed.",
            ),
        },
    ),
}

COMMANDS: Commands = {
    "verify": ("tallystick_tools.verify:verify", "Check a bundle offline, back to the sensor's signature."),
    "demo": ("tallystick_tools.demo:demo", "Run the whole chain on this machine."),
}

# The extra that a command needs, by its first word; what is not listed runs on the base install.
EXTRAS = {
    "node": "provisioning",
    "tag": "provisioning",
    "sheet": "provisioning",
    "trust": "provisioning",
    "gateway": "edge",
    "cloud": "cloud",
    "witness": "provisioning",
    "demo": "edge,cloud,provisioning",
    "bench": "edge,cloud,provisioning",
}

# These run until they are told to stop, which is no failure.
UNTIL_TOLD = {("gateway", "run"), ("cloud", "serve"), ("witness", "serve"), ("node", "simulate")}


def build() -> App:
    """The whole command tree; nothing below it is imported yet."""
    root = App(
        name="tallystick",
        help=HELP,
        version=lambda: metadata.version("tallystick"),
        default_parameter=Parameter(negative=()),  # an option is given or not: no --no-json, no --empty-port
        print_error=False,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
    )
    for name, (target, text) in COMMANDS.items():
        root.command(target, name=name, help=text)
    groups: dict[str, App] = {}
    for name, (text, commands) in GROUPS.items():
        groups[name] = _group(root, name, text, commands)
    for (parent, name), (text, commands) in SUBGROUPS.items():
        _group(groups[parent], name, text, commands)
    return root


def _group(parent: App, name: str, text: str, commands: Commands) -> App:
    app = App(name=name, help=text)
    for command, (target, line) in commands.items():
        app.command(target, name=command, help=line)
    parent.command(app)
    return app


def main() -> None:
    """Entry point: every end is an exit code, and every failure one line on stderr."""
    words = sys.argv[1:]
    plain_text.degrade(sys.stdout, sys.stderr)
    runs_until_told = tuple(words[:2]) in UNTIL_TOLD or words[:1] == ["demo"]
    if runs_until_told:
        # A background job of a shell ignores SIGINT; SIGTERM would end the process without its last steps.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
    try:
        _run(words)
    except KeyboardInterrupt:
        if tuple(words[:2]) in UNTIL_TOLD:
            sys.exit(0)  # told to stop before it was up
        _end("interrupted")
    except BrokenPipeError:
        # Whoever reads us has seen enough. Python must not try again to write what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _end("the output was closed")
    except OSError as error:
        _end(f"could not run: {error.filename}: {error.strerror}" if error.filename else f"could not run: {error}")


def _end(reason: str) -> NoReturn:
    print(reason, file=sys.stderr)
    sys.exit(2)


def _run(words: list[str]) -> None:
    """Run the command. A package that is not installed is named together with the extra that brings it."""
    try:
        root = build()
        if not {"-h", "--help"}.isdisjoint(words):
            show_whole_page(root, words)
        root(words)
    except CycloptsError as error:
        _end(usage_error(error))
    except ImportError as error:
        missing, extra = _missing(error), EXTRAS.get(words[0]) if words else None
        if not missing or missing.startswith("tallystick_") or extra is None:
            raise
        _end(f"this command needs the package {missing}: pip install 'tallystick[{extra}]'")


def _missing(error: BaseException | None) -> str:
    """The top-level module that is not there: cyclopts wraps the error of a command's own imports."""
    while error is not None and not isinstance(error, ModuleNotFoundError):
        error = error.__cause__
    return "" if error is None or error.name is None else error.name.partition(".")[0]
