"""The command `make run`: the whole system on this machine, until Ctrl-C.

The API uses PORT (3000). The sandbox, the object storage and the OpenID provider use the next three ports unless SANDBOX_PORT,
OBJECTS_PORT and OPENID_PORT are set. With PORT=0 the system chooses free ports, and the next run on the same ROOST_HOME (.roost) reuses them.
"""

import argparse
import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from local.home import CannotStart, Home, listen
from local.keep import PartEnded
from local.postgres import PostgresFailed
from local.starters import Starter, make_starter

EXIT_CANNOT_START = 2
DEFAULT_PORT = 3000
_HIGHEST_PORT = 65_535
# Each server's port variable, and its default distance from PORT.
_PORTS = {
    "the API": ("PORT", 0),
    "the sandbox": ("SANDBOX_PORT", 1),
    "the object storage": ("OBJECTS_PORT", 2),
    "the OpenID provider": ("OPENID_PORT", 3),
}


def main() -> int:
    """Run until a signal; return the process's exit status."""
    argparse.ArgumentParser(
        prog="python -m local",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        home = Home(Path(os.environ.get("ROOST_HOME", ".roost")))
        home.withdraw()
        sockets = _listen(home)
        asyncio.run(_supervise(home, sockets, make_starter()))
    except (CannotStart, PostgresFailed, PartEnded) as error:
        print(error, file=sys.stderr)
        return EXIT_CANNOT_START
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"The disk is full: {error}. Free some space and start again.", file=sys.stderr)
        return EXIT_CANNOT_START
    return 0


def _listen(home: Home) -> list[socket.socket]:
    first = _port("PORT", DEFAULT_PORT)
    earlier = home.remembered_ports()
    listeners: dict[str, socket.socket] = {}
    for what, (variable, offset) in _PORTS.items():
        port = _port(variable, first + offset if first else 0)
        try:
            listeners[variable] = listen(
                port or earlier.get(variable, 0), what=what, variable=variable
            )
        except CannotStart:
            if port:
                raise
            listeners[variable] = listen(0, what=what, variable=variable)
    home.remember_ports(
        {variable: listener.getsockname()[1] for variable, listener in listeners.items()}
    )
    return list(listeners.values())


def _port(variable: str, otherwise: int) -> int:
    given = os.environ.get(variable) or str(otherwise)
    if not (given.isascii() and given.isdigit() and int(given) <= _HIGHEST_PORT):
        message = f"{variable}={given} is not a port. Choose a number up to {_HIGHEST_PORT}, or 0 for a free one."
        raise CannotStart(message)
    return int(given)


async def _supervise(home: Home, sockets: Sequence[socket.socket], starter: Starter) -> None:
    from local.runtime import (
        Listeners,
        run,
    )  # meanwhile the starter imports the functions' libraries

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, _asked, stop)
    await run(home, Listeners(*sockets), starter, stop)


def _asked(stop: asyncio.Event) -> None:
    """Stop in order; at the second request, stop immediately."""
    if stop.is_set():
        os._exit(1)
    print("\nStopping. Press Ctrl-C again to stop immediately.", flush=True)
    stop.set()
