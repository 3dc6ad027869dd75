"""Make an environment in a folder that is empty or given up: `python requirements/environment.py .venv`.

It does what `python -m venv --clear` does, except that Ctrl-C ends it with a sentence. Standard library only: it runs before anything
is installed.
"""

import os
import signal
import sys
import venv

_STOPPED = "\nStopped. Run the same command again to start over.\n"


def main() -> None:
    """Make the environment that the command line names."""
    signal.signal(signal.SIGINT, _stop)
    venv.create(sys.argv[1], clear=True, symlinks=os.name == "posix", with_pip=True)


def _stop(number: int, _frame: object) -> None:
    os.write(sys.stderr.fileno(), _STOPPED.encode())
    os._exit(128 + number)


if __name__ == "__main__":
    main()
