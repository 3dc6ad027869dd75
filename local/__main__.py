"""`python -m local` (`make run`): the whole system on this machine, until Ctrl-C."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from local.home import CannotStart, Home, listen
from local.postgres import PostgresFailed

EXIT_CANNOT_START = 2


def main() -> int:
    """Run until a signal; return the process's exit status."""
    port = int(os.environ.get("PORT", "3000"))
    try:
        home = Home(Path(os.environ.get("ROOST_HOME", ".roost")))
        home.withdraw()
        from local.runtime import (  # after the lock is taken: importing moto takes a while
            Listeners,
            run,
        )

        listeners = Listeners(
            api=listen(port, what="the API", variable="PORT"),
            sandbox=listen(
                _port("SANDBOX_PORT", port, 1), what="the sandbox", variable="SANDBOX_PORT"
            ),
            objects=listen(
                _port("OBJECTS_PORT", port, 2), what="the object storage", variable="OBJECTS_PORT"
            ),
        )

        async def supervise() -> None:
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, _asked, stop)
            await run(home, listeners, stop)

        asyncio.run(supervise())
    except (CannotStart, PostgresFailed) as error:
        print(error, file=sys.stderr)
        return EXIT_CANNOT_START
    return 0


def _asked(stop: asyncio.Event) -> None:
    """Stop in order; asked a second time, at once."""
    if stop.is_set():
        os._exit(1)
    stop.set()


def _port(variable: str, port: int, offset: int) -> int:
    return int(os.environ.get(variable, port + offset if port else 0))


if __name__ == "__main__":
    sys.exit(main())
