"""The pauses that follow wrong passwords and codes."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Pauses:
    """From guess number `free` on, each is followed by a pause: a second, then twice as long each time, up to `longest`."""

    free: int
    longest: timedelta


ONE_NETWORK = Pauses(5, timedelta(minutes=15))
"""For one address (a /64 of IPv6), one known device, or one session that confirms its person."""
ALL_NETWORKS = Pauses(25, timedelta(minutes=5))
"""For all networks together. A shorter pause, because the owner on a new device waits for it too."""
CODES = Pauses(5, timedelta(hours=1))
"""For the codes of one person's second factors, or for those from one device that is remembered."""
