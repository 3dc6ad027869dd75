"""Counts a caller's reads of the current minute in this process, so that a read does not need a write."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from shared.access.errors import RateLimitReached
from shared.access.policy import Quota, Rate
from shared.core import clock

MOST_KEYS = 10_000
"""The oldest windows are forgotten beyond this: about 2 MB."""


@dataclass(slots=True)
class _Window:
    began_at: datetime
    calls: int = 0


_windows: OrderedDict[str, _Window] = OrderedDict()


def count_in_memory(rate: Rate, subject: str) -> None:
    """Count a call of `subject` in this process.

    Raises:
        RateLimitReached: the limit is used up until the window ends.
    """
    key, now = f"{rate.name}:{subject}", clock.now()
    window = _windows.get(key)
    if window is None or now - window.began_at >= rate.window:
        _windows.pop(key, None)
        window = _windows[key] = _Window(now)
        while len(_windows) > MOST_KEYS:
            _windows.popitem(last=False)
    window.calls += 1
    if window.calls > rate.allowed:
        left = window.began_at + rate.window - now
        quota = Quota(rate.allowed, 0, max(1, round(left.total_seconds())))
        raise RateLimitReached(quota, rate.window)


def forget_counts() -> None:
    """Reset all counts, so that tests start from zero."""
    _windows.clear()
