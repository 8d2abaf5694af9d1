"""CPU time of named steps, and what it means as rates and ratios. No step is in the code that is measured."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

PEER = "peer"


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds for one reading, of CPU (all threads) and on the clock."""

    cpu_s: float
    wall_s: float


Round = Mapping[str, Cost]


@dataclass(slots=True)
class Meter:
    """What one round's steps cost for one of its readings. A step inside another one is not counted in the outer."""

    readings: int
    costs: dict[str, Cost] = field(default_factory=dict)
    _inner: list[Cost] = field(default_factory=list)  # of the steps that are open: what steps inside them took

    @contextmanager
    def step(self, name: str, readings: int | None = None) -> Iterator[None]:
        """Everything in the block is `name`, done for all readings or so many; blocks of one name add up."""
        self._inner.append(Cost(0.0, 0.0))
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        yield
        spent = Cost(time.process_time() - cpu_s, time.perf_counter() - wall_s)
        inside = self._inner.pop()
        if self._inner:
            self._inner[-1] = _sum(self._inner[-1], spent)
        count = self.readings if readings is None else readings
        own = Cost((spent.cpu_s - inside.cpu_s) / count, (spent.wall_s - inside.wall_s) / count)
        self.costs[name] = _sum(self.costs.get(name, Cost(0.0, 0.0)), own)


def _sum(one: Cost, other: Cost) -> Cost:
    return Cost(one.cpu_s + other.cpu_s, one.wall_s + other.wall_s)


def cpu_s(rounds: Sequence[Round], name: str) -> float:
    """The median over the rounds."""
    return statistics.median(costs[name].cpu_s for costs in rounds)


def wall_s(rounds: Sequence[Round], name: str) -> float:
    return statistics.median(costs[name].wall_s for costs in rounds)


def ratio(rounds: Sequence[Round], name: str) -> float:
    """How many times the peer's rate: the median of the ratios, each taken within one round."""
    return statistics.median(costs[PEER].cpu_s / costs[name].cpu_s for costs in rounds)
