"""An OpenID provider with invented people, on which `make run` lets anybody sign in: `python -m local.openid_provider --port N`.

It is the test server `oidc-provider-mock`. It asks for no password and accepts every client, so it must not be used for
anything but trying out.
"""

import argparse
import os
import socket
import sys
import threading
import time
from pathlib import Path

import oidc_provider_mock
import uvicorn

from local.clock import SharedOffset
from local.home import CannotStart, listen

PEOPLE = (
    oidc_provider_mock.User(
        sub="demo", claims={"email": "demo@example.com", "email_verified": True, "name": "Demo"}
    ),
    oidc_provider_mock.User(
        sub="grace",
        claims={"email": "grace@example.com", "email_verified": True, "name": "Grace Hopper"},
    ),
    oidc_provider_mock.User(
        sub="company",
        claims={"email": "ada@acme.test", "email_verified": True, "name": "Ada of Acme"},
    ),
    oidc_provider_mock.User(
        sub="unverified",
        claims={"email": "somebody@example.com", "email_verified": False, "name": "Somebody"},
    ),
)
"""Who can be chosen on its page. Any other name can be typed; their addresses are not verified."""


def main() -> None:
    """Serve until the process ends, or until standard input closes if the listener was inherited."""
    arguments = _arguments()
    if arguments.clock:
        follow(SharedOffset(arguments.clock))
    try:
        listener = _listener(arguments)
    except CannotStart as error:
        raise SystemExit(str(error)) from error
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # it serves plain http on this machine
    config = uvicorn.Config(
        oidc_provider_mock.app(user_claims=PEOPLE),
        interface="wsgi",
        lifespan="off",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listener])


def follow(offset: SharedOffset) -> None:
    """Make this process's ID tokens follow the system's clock, by which Roost judges them."""
    machine_time = time.time
    time.time = lambda: machine_time() + offset.read().total_seconds()


def _listener(arguments: argparse.Namespace) -> socket.socket:
    if arguments.listener is not None:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        return socket.socket(fileno=arguments.listener)
    listener = listen(arguments.port, what="the OpenID provider", variable="--port")
    print(f"OpenID provider: http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    return listener


def _end_with_parent() -> None:
    """End this process when the one that started it ends, however it ends."""
    sys.stdin.buffer.read()
    os._exit(0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.openid_provider", description=__doc__)
    parser.add_argument("--port", type=int, default=3003, help="0: any free one")
    parser.add_argument("--listener", type=int, help="descriptor of an inherited listening socket")
    parser.add_argument("--clock", type=Path, help="file of the system's clock")
    return parser.parse_args()


if __name__ == "__main__":
    main()
