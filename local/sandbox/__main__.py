"""Runs the sandbox alone: `python -m local.sandbox --home DIR --port N`."""

import argparse
from pathlib import Path

import uvicorn

from local.home import CannotStart, listen
from local.sandbox.app import make_sandbox

HOST = "127.0.0.1"


def main() -> None:
    """Serve until Ctrl-C. Port 0 chooses a free one; the address is printed when the sandbox is ready."""
    arguments = _arguments()
    try:
        listener = listen(arguments.port, what="the sandbox", variable="--port")
    except CannotStart as error:
        raise SystemExit(str(error)) from error
    with listener:
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.sandbox", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".roost"), help="folder for its state")
    parser.add_argument("--port", type=int, default=3004, help="0: any free one")
    parser.add_argument("--public-url", help="its public address, if it differs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
