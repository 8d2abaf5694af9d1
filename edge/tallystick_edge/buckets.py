"""Token buckets, one per kid: one node that floods costs the others nothing."""

RATE_PER_S = 200.0  # four times what 115200 baud can carry of smallest readings
BURST = 2000.0  # a node that comes back with a day of readings is not a flood


class Buckets:
    """take(key, now_s) says whether one more event of `key` is within its rate. The caller bounds the set of keys."""

    def __init__(self, rate_per_s: float = RATE_PER_S, burst: float = BURST) -> None:
        self._rate_per_s, self._burst = rate_per_s, burst
        self._levels: dict[bytes, tuple[float, float]] = {}  # key -> (tokens, at which time)

    def take(self, key: bytes, now_s: float) -> bool:
        tokens, then_s = self._levels.get(key, (self._burst, now_s))
        tokens = min(self._burst, tokens + max(0.0, now_s - then_s) * self._rate_per_s)
        allowed = tokens >= 1.0
        self._levels[key] = (tokens - 1.0 if allowed else tokens, now_s)
        return allowed
