"""How the sandbox runs on its own: `python -m local.sandbox --home DIR --port N`."""

import argparse
import socket
from pathlib import Path

import uvicorn

from local.sandbox.app import make_sandbox

HOST = "127.0.0.1"


def main() -> None:
    """Serve until Ctrl-C. Port 0 takes a free one; the address is printed once it is served."""
    arguments = _arguments()
    with listen(arguments.port) as listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        sandbox = make_sandbox(arguments.home, public_url=arguments.public_url or url)
        print(f"Sandbox: {url}", flush=True)
        config = uvicorn.Config(
            sandbox, log_level="warning", lifespan="off", timeout_graceful_shutdown=2
        )
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            sandbox.close()


def listen(port: int) -> socket.socket:
    """Listen on a port of the loopback; 0 takes a free one."""
    # asyncio switches off Nagle's algorithm only for sockets that name their protocol; with it, a kept connection waits
    # 40 ms for every answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.sandbox", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".roost"), help="where its state is kept")
    parser.add_argument("--port", type=int, default=3003, help="0: any free one")
    parser.add_argument("--public-url", help="its address as others see it, if another")
    return parser.parse_args()


if __name__ == "__main__":
    main()
