"""What time a system on this machine has: the machine's clock, and how far it was moved ahead.

The offset lies in a file of eight bytes that every process of the system maps, so that all of them see a move at once. The
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
"""Tells a function's process where the file is."""
_FORMAT = struct.Struct("<q")  # microseconds
_TICK = timedelta(microseconds=1)


class SharedOffset:
    """How far the time is ahead of the machine's clock, shared by all processes that map the same file."""

    def __init__(self, path: Path) -> None:
        """Map the file, which is made, with no offset, if there is none."""
        with path.open("a+b") as file:
            if file.seek(0, 2) < _FORMAT.size:
                file.truncate(_FORMAT.size)
            self._shared = mmap.mmap(file.fileno(), _FORMAT.size)

    def read(self) -> timedelta:
        """Return it."""
        return _TICK * int(_FORMAT.unpack_from(self._shared)[0])

    def write(self, offset: timedelta) -> None:
        """Change it for everybody."""
        _FORMAT.pack_into(self._shared, 0, offset // _TICK)


def follow(offset: SharedOffset) -> None:
    """Have this process's clock follow the offset."""
    clock.read_from(lambda: clock.machine_time() + offset.read())


def sign_by_the_clock() -> None:
    """Have requests to AWS and presigned addresses carry the clock's time, which is what they are checked against."""
    auth: Any = importlib.import_module("botocore.auth")  # only functions sign

    def current(remove_tzinfo: bool = True) -> datetime:
        now = clock.now()
        return now.replace(tzinfo=None) if remove_tzinfo else now

    auth.get_current_datetime = current
