"""The story that `tools/demo --once` plays: a reboot, a killed gateway, a warm cold room and what the bank does."""

import time
from collections.abc import Callable
from typing import Any

from tallystick_tools.demo_backlog import kill_with_backlog
from tallystick_tools.demo_build import start_gateway
from tallystick_tools.demo_plan import PLACES
from tallystick_tools.demo_world import World
from tallystick_tools.errors import DemoError

POLL_S = 0.2
DECISION_GRACE_S = 60.0  # beyond the planned end: a loaded machine is slow, not wrong
REBOOTED_NODE = 1  # not the node that gets warm: its uptime clock, which times the excursion, must go on

Tell = Callable[[str], None]


def play(world: World, tell: Tell) -> dict[str, Any] | None:
    """Play the plan and return the loan's first decision as the API shows it, or None when the plan is calm.

    Raises DemoError when the story does not come true: no decision although it got warm, or one although it did not.
    """
    begin = time.monotonic()
    plan = world.plan
    acts: list[tuple[float, Callable[[], None]]] = [
        (plan.reboot_at_s, lambda: reboot_node(world, tell)),
        (plan.kill_gateway_at_s, lambda: kill_gateway(world, tell)),
    ]
    if not plan.calm:
        tell(f"{PLACES[0]} will get warm about {plan.excursion_at_s:.0f} s from now, for {plan.excursion_for_s:.0f} s")
    decision: dict[str, Any] | None = None
    while not ended(world, time.monotonic() - begin, decision):
        if acts and time.monotonic() - begin >= acts[0][0]:
            acts.pop(0)[1]()
        decision = decision or first_decision(world)
        time.sleep(POLL_S)
    for _, act in acts:  # a very slow machine may reach the end first: the story is told whole
        act()
    if decision:
        tell_decision(decision, tell)
    elif not plan.calm:
        raise DemoError(f"{PLACES[0]} was too warm, but no decision came; see {world.folder / 'logs'}")
    return decision


def ended(world: World, elapsed_s: float, decision: dict[str, Any] | None) -> bool:
    if world.plan.calm:
        return elapsed_s >= world.plan.end_at_s
    if decision:
        return elapsed_s >= world.plan.kill_gateway_at_s
    return elapsed_s >= world.plan.end_at_s + DECISION_GRACE_S


def reboot_node(world: World, tell: Tell) -> None:
    node = world.nodes[REBOOTED_NODE]
    pid = node.pid
    node.kill()
    node.start()
    tell(f"node in {PLACES[REBOOTED_NODE]} lost power (pid {pid}) and boots again (pid {node.pid})")


def kill_gateway(world: World, tell: Tell) -> None:
    if world.gateway is None:
        raise DemoError("no gateway runs")
    pid, backlog = kill_with_backlog(world.gateway, world.gateway_log)
    tell(f"gateway killed with SIGKILL: pid {pid}, un-acked backlog {backlog} entries")
    start_gateway(world)
    tell(f"gateway runs again (pid {world.gateway.pid}) and goes on from its log")


def first_decision(world: World) -> dict[str, Any] | None:
    """The loan's decision 0 from the API, if there is one."""
    items: list[dict[str, Any]] = world.api("GET", f"/v1/loans/{world.loan}/decisions")["items"]
    return items[0] if items else None


def tell_decision(decision: dict[str, Any], tell: Tell) -> None:
    for effect in decision["effects"]:
        tell(f"the bank decides: {effect['text']}")
