"""`tallystick demo`: the whole chain on this machine, as a live view or as one story with a checked ending."""

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tallystick_emulators.errors import EmulatorError
from tallystick_emulators.unix_node import MAX_SEED
from tallystick_tools.demo_plan import plan
from tallystick_tools.errors import ToolError


def demo(
    *,
    once: bool = False,
    calm: bool = False,
    seed: int | None = None,
    keep: Path | None = None,
) -> int:
    """Run three MicroPython nodes, a gateway, a ledger, a witness and a loan, all on this machine.

    Without --once: a live view until Ctrl-C. With --once: a node loses power, the gateway is killed, a cold room gets
    warm, the bank reacts, and every piece of evidence is fetched and verified.

    Exit code 0: all of it held. 1: something did not. 2: it could not run, or was interrupted.

    Examples:
        tallystick demo
        tallystick demo --once --seed 7 --keep /tmp/story
        tallystick demo --once --calm

    Parameters
    ----------
    once
        Play the story, verify the evidence, exit.
    calm
        Nothing gets warm; the story must end without a decision.
    seed
        Other seeds give other values and other times; default: by chance, and printed.
    keep
        Leave bundles, trust.toml, databases and logs in this folder, which must be empty or new.
    """
    chosen = random.SystemRandom().randrange(1, MAX_SEED) if seed is None else seed
    if not 0 < chosen <= MAX_SEED:
        print(f"--seed must be from 1 to {MAX_SEED}, not {chosen}", file=sys.stderr)
        return 2
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        print(f"--keep {keep}: must be an empty or a new folder", file=sys.stderr)
        return 2
    folder = keep or Path(tempfile.mkdtemp(prefix="tallystick-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return play_once(folder, chosen, calm) if once else watch(folder, chosen, calm)
    except (ToolError, EmulatorError) as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: everything is stopped", file=sys.stderr)
        return 2
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


class Teller:
    """Prints each line of the story with its time."""

    def __init__(self) -> None:
        self.begin = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self.begin:5.1f} s] {text}", flush=True)


def play_once(folder: Path, seed: int, calm: bool) -> int:
    # The parts need packages that `--help` does not.
    from tallystick_tools import demo_build, demo_keep, demo_story, demo_tag

    tell = Teller()
    chosen = plan(seed, calm)
    tell(f"seed {seed}{', calm' if calm else ''}: making keys, witness, ledger, tag, nodes, gateway, loan")
    world = demo_build.build(folder, chosen)
    try:
        principal = f"{chosen.principal_minor / 100:,.2f} {demo_build.CURRENCY}"
        tell(demo_tag.identity(world))
        tell(f"loan {world.loan[:16]} is open: {principal} against lot {demo_build.LOT}")
        decision = demo_story.play(world, tell)
        tell(demo_tag.tap(world))
        demo_keep.finish(world, decision, tell)
    finally:
        world.stop()
    if decision is None:
        tell("no decision: nothing happened that the rules care about")
    tell("the chain holds")
    return 0


def watch(folder: Path, seed: int, calm: bool) -> int:
    from tallystick_tools import demo_build, demo_view

    print("making keys, witness, ledger, nodes, gateway, loan", flush=True)
    world = demo_build.build(folder, plan(seed, calm))
    try:
        demo_view.watch(world)
    except KeyboardInterrupt:
        print("stopping")
    finally:
        world.stop()
    return 0
