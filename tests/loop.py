"""One event loop for each thread that tests run in.

Mangum runs on the thread's loop and makes one where there is none. What else runs on a loop takes the thread's away
afterwards, and one that nobody holds is found unclosed, in some later test.
"""

import asyncio
import atexit
import threading

_of_this_thread = threading.local()


def use_loop() -> None:
    """Make it the thread's loop (again)."""
    if not hasattr(_of_this_thread, "loop"):
        _of_this_thread.loop = asyncio.new_event_loop()
        atexit.register(_of_this_thread.loop.close)
    asyncio.set_event_loop(_of_this_thread.loop)


def close_loop() -> None:
    """Close the loop of a thread that ends."""
    loop = _of_this_thread.loop
    del _of_this_thread.loop
    asyncio.set_event_loop(None)
    atexit.unregister(loop.close)
    loop.close()
