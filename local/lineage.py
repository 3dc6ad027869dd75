"""Lambda's recursive loop detection: how it recognizes a function that calls itself through a queue, and when it stops it.

Lambda counts in the trace header: `Lineage` lists each function of a chain by a hash, with the number of its runs in that
chain. The AWS SDK sends the header with each request, SQS keeps it with the message, and the next invocation continues the
count. A function without `RecursiveLoop: Allow` is not invoked again after about 16 runs; the message stays in the queue, is
received again, and ends in the dead-letter queue. Other triggers of the function are not affected.
Source: docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html, read 2026-11.
"""

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Iterable

MOST_IN_A_CHAIN = 16
_MARK = "Lineage="


def new_trace() -> str:
    """Return the header of the first invocation of a chain."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Sampled=0"


def continued(function: str, headers: Iterable[str]) -> tuple[str, int]:
    """Return the header for an invocation with messages that have these headers, and the function's resulting count."""
    counts: Counter[str] = Counter()
    for header in headers:
        for name, count in _counts(header).items():
            counts[name] = max(counts[name], count)
    own = hashlib.sha256(function.encode()).hexdigest()[:8]
    counts[own] += 1
    lineage = "|".join(f"{name}:{count}" for name, count in sorted(counts.items()))
    return f"{new_trace()};{_MARK}{lineage}", counts[own]


def _counts(header: str) -> dict[str, int]:
    """Read `Lineage=12326a9d:3|a87bd80c:1` from a header; an unreadable header counts as empty."""
    for part in header.split(";"):
        if part.startswith(_MARK):
            pairs = (entry.rpartition(":") for entry in part.removeprefix(_MARK).split("|"))
            return {name: int(count) for name, _, count in pairs if name and count.isdigit()}
    return {}
