"""What was not compared with a platform's published description, and why: counted, and listed at the end of a test run.

Kept apart from `published`, which takes long to import, because every run's summary reads it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

# How often each `what: why` was met in this process.
counts: Counter[str] = Counter()


def not_judged(what: str, why: str) -> None:
    """Count something that was not compared."""
    counts[f"{what}: {why}"] += 1


def summary(counted: Mapping[str, int]) -> Sequence[str]:
    """Return one line for each reason, most frequent first; none where everything was compared."""
    ordered = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    return [f"{count} not judged, {reason}" for reason, count in ordered]
