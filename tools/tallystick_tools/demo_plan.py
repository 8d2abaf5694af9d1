"""What happens in the demo, and when: a pure function of the seed."""

import random
from dataclasses import dataclass

WARM_LIMIT_TEXT = "8.0"  # degrees Celsius: the usual upper limit of a medicine cold room (2-8 C)
WARM_FOR_MS = 5_000  # short enough to watch
SILENCE_FOR_MS = 30_000  # well above a reboot and a gateway kill on a loaded machine, so that calm stays calm
PUBLISH_LAG_S = 6.0  # sync, sequence, witness and evaluate, with room for a loaded machine
PLACES = ("cold room A", "cold room B", "truck 7")


@dataclass(frozen=True, slots=True)
class Plan:
    """Times are seconds after the loan was opened. Then the first node starts anew: its uptime times the excursion."""

    seed: int
    calm: bool
    interval_ms: int
    reboot_at_s: float
    kill_gateway_at_s: float
    excursion_at_s: float
    excursion_for_s: float
    end_at_s: float
    principal_minor: int
    value_minor: int

    @property
    def excursion_text(self) -> str:
        """The node's setting TALLYSTICK_EXCURSION; empty when calm."""
        return "" if self.calm else f"{self.excursion_at_s:.1f},{self.excursion_for_s:.1f}"


def plan(seed: int, calm: bool) -> Plan:
    """The same seed gives the same plan; another seed other times and amounts."""
    chance = random.Random(seed)  # noqa: S311 - a story, not a secret
    excursion_at_s = chance.uniform(12.0, 18.0)
    excursion_for_s = chance.uniform(12.0, 15.0)
    value_minor = chance.randrange(900_000_00, 1_400_000_00, 100_00)
    return Plan(
        seed=seed,
        calm=calm,
        interval_ms=chance.randrange(220, 280),
        reboot_at_s=chance.uniform(4.0, 7.0),
        kill_gateway_at_s=chance.uniform(8.0, 11.0),
        excursion_at_s=excursion_at_s,
        excursion_for_s=excursion_for_s,
        end_at_s=excursion_at_s + excursion_for_s + PUBLISH_LAG_S,
        principal_minor=value_minor * 6 // 10,
        value_minor=value_minor,
    )
