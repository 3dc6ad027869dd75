"""`python -m local` (`make run`): see `local/supervise.py`. Ctrl-C ends it without a traceback, even during the imports."""

import os
import signal
import sys


def main() -> int:
    """Run the system; return the process's exit status."""
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(128 + signal.SIGINT))
    from local import supervise

    return supervise.main()


if __name__ == "__main__":
    sys.exit(main())
