"""The time of a system on this machine: the machine's clock plus the offset by which it was moved ahead.

The offset is stored in an eight-byte file that every process of the system maps, so all of them see a move at once. The
database has the same offset in a function of its own (`local/database_clock.py`).
"""

import importlib
import mmap
import struct
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shared.core import clock

VARIABLE = "ROOST_CLOCK_FILE"
"""Names the offset's file to the process of a function."""
_FORMAT = struct.Struct("<q")  # microseconds
_TICK = timedelta(microseconds=1)


class SharedOffset:
    """The offset from the machine's clock, shared by all processes that map the same file."""

    def __init__(self, path: Path) -> None:
        """Map the file. A missing file is created with an offset of zero."""
        with path.open("a+b") as file:
            if file.seek(0, 2) < _FORMAT.size:
                file.truncate(_FORMAT.size)
            self._shared = mmap.mmap(file.fileno(), _FORMAT.size)

    def read(self) -> timedelta:
        """Return the offset."""
        return _TICK * int(_FORMAT.unpack_from(self._shared)[0])

    def write(self, offset: timedelta) -> None:
        """Change the offset for all processes."""
        _FORMAT.pack_into(self._shared, 0, offset // _TICK)


def follow(offset: SharedOffset) -> None:
    """Make this process's clock follow the offset."""
    clock.read_from(lambda: clock.machine_time() + offset.read())


def sign_by_the_clock() -> None:
    """Sign requests to AWS and presigned URLs with the clock's time, because they are checked against it."""
    auth: Any = importlib.import_module("botocore.auth")  # only functions sign

    def current(remove_tzinfo: bool = True) -> datetime:
        now = clock.now()
        return now.replace(tzinfo=None) if remove_tzinfo else now

    auth.get_current_datetime = current
