"""How Lambda recognizes a function that calls itself through a queue, and where it stops it.

Lambda counts in the trace header: `Lineage` names each function of a chain by a hash and says how often it has run in it.
The AWS SDK sends the header with each request, SQS keeps it with the message, and the next invocation goes on counting. A function
without `RecursiveLoop: Allow` is not invoked a further time after about 16; the message stays, is offered again, and ends
in the dead-letter queue. Other triggers of the function are not concerned.
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
    """Return the header of an invocation that begins a chain."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Sampled=0"


def continued(function: str, headers: Iterable[str]) -> tuple[str, int]:
    """Return the header for an invocation with messages of these headers, and how often the function has then run."""
    counts: Counter[str] = Counter()
    for header in headers:
        for name, count in _counts(header).items():
            counts[name] = max(counts[name], count)
    own = hashlib.sha256(function.encode()).hexdigest()[:8]
    counts[own] += 1
    lineage = "|".join(f"{name}:{count}" for name, count in sorted(counts.items()))
    return f"{new_trace()};{_MARK}{lineage}", counts[own]


def _counts(header: str) -> dict[str, int]:
    """Read `Lineage=12326a9d:3|a87bd80c:1` out of a header; what is unreadable counts for nothing."""
    for part in header.split(";"):
        if part.startswith(_MARK):
            pairs = (entry.rpartition(":") for entry in part.removeprefix(_MARK).split("|"))
            return {name: int(count) for name, _, count in pairs if name and count.isdigit()}
    return {}
