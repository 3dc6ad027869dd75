"""One event loop for the thread that tests run in.

Mangum runs on the thread's loop and makes one where there is none. What else runs on a loop takes the thread's away
afterwards, and one that nobody holds is found unclosed, in some later test.
"""

import asyncio
import atexit

LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)


def use_loop() -> None:
    """Make it the thread's loop (again)."""
    asyncio.set_event_loop(LOOP)
