"""Runs PostgreSQL on a machine without it: from a Python package, as an unprivileged user, for one folder.

PostgreSQL refuses to run as root, so root runs it as `nobody`. Nothing else on the machine changes: no user is
created, and no parent folder gets other permissions. If `nobody` cannot enter a folder (a home with mode 0700), the files
go below /var/lib/roost and the folder becomes a link to them.

Committed data survives `kill -9` of every process, because a commit is passed to the operating system. It does not wait
for the disk (`fsync` is off), so it may not survive a power loss; this is a developer's database.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from local.postgres_programs import NoPrograms, Programs, find_programs

USER = "roost"
DATABASE = "roost"

# Only root can write to this folder, and only root needs it.
_STATE = Path("/var/lib/roost")
_INIT_TIMEOUT = timedelta(seconds=60)
_READY_TIMEOUT = timedelta(seconds=60)  # after a crash, PostgreSQL first replays its log
_STOP_TIMEOUT = timedelta(seconds=10)
_POLL_SECONDS = 0.01
_TRIES = 3
_LINES_WHEN_READY = 8

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "jit": "off",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For a disposable database, such as the tests'.
_THROWAWAY = {"synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}

# The shell ties the server's lifetime to this process. When this process ends for any reason, the pipe closes, `read`
# returns and the server gets SIGINT (end the sessions, shut down). When the server ends, so does the shell.
_KEEPER = """
exec 3<&0
"$@" 3<&- & server=$!
(read _ <&3; kill -INT $server) & reader=$!
wait $server; status=$?
kill $reader 2>/dev/null
exit $status
"""


class PostgresFailed(Exception):
    """PostgreSQL did not start; the message says why and ends with the last lines of its log."""


class EmbeddedPostgres:
    """One PostgreSQL server on the files below `data_dir`. It stops when this process ends, if not before."""

    def __init__(self, data_dir: Path, log: Path, *, durable: bool = True) -> None:
        """Set the folder and the log file, which need not exist. Without `durable`, a crash may damage the files.

        Raises:
            PostgresFailed: the folder belongs to another user.
        """
        self._log = log.absolute()
        self._settings = _SETTINGS if durable else _SETTINGS | _THROWAWAY
        self._keeper: subprocess.Popen[bytes] | None = None
        self._port: int | None = None
        self._runs_as = _user_for(data_dir.absolute())
        self._bin = _readable_binaries(self._runs_as) / "bin"
        self._place = _accessible_place(data_dir.absolute(), self._runs_as)
        self._files = self._place / "data"

    def start(self) -> str:
        """Start the server and return its URL, with user, password and the database `roost`.

        The first start creates the files. A server that an earlier process left running on them is stopped first. After a
        restart, the server keeps its port and so its URL.

        Raises:
            PostgresFailed: it cannot be started here.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if not (self._files / "PG_VERSION").exists():
            self._make_files()
        self._stop_leftover()
        for _ in range(_TRIES):
            port = self._port or _free_port()
            if self._launch(port):
                self._port = port
                return f"postgresql://{USER}:{self._password()}@127.0.0.1:{port}/{DATABASE}"
            time.sleep(
                1
            )  # the processes of a killed server are still ending, or another program took the port
        raise PostgresFailed(
            f"PostgreSQL did not start on {self._files}. {self._log} ends:\n{self.last_lines()}"
        )

    @property
    def has_ended(self) -> bool:
        """True if the server was started, was not stopped, and no longer runs."""
        return self._keeper is not None and self._keeper.poll() is not None

    def last_lines(self) -> str:
        """Return the end of the server's log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        """Stop the server and end its sessions. Does nothing if it is not running."""
        if self._keeper is None:
            return
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        try:
            self._keeper.wait(_STOP_TIMEOUT.total_seconds())
        except subprocess.TimeoutExpired:
            self._stop_leftover()
            self._keeper.wait(_STOP_TIMEOUT.total_seconds())
        self._keeper = None

    def _make_files(self) -> None:
        """Create the files under another name and rename them, so that an interrupted start leaves nothing incomplete."""
        password, unfinished = self._place / "password", self._place / "data.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        _give(password, self._runs_as)
        self._run(
            *("initdb", "-D", str(unfinished), "-U", USER, f"--pwfile={password}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--no-instructions"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        )
        self._run(
            "postgres",
            "--single",
            "-D",
            str(unfinished),
            "postgres",
            say=f"CREATE DATABASE {DATABASE}\n",
        )
        unfinished.rename(self._files)

    def _password(self) -> str:
        return (self._place / "password").read_text().strip()

    def _stop_leftover(self) -> None:
        """Stop a server that still runs on these files: first cleanly, then by a kill from which it recovers.

        A stale lock file is removed. Its process id may by now belong to another program of the same user, and the
        server would take that program for a running server and refuse to start.
        """
        for how in (signal.SIGINT, signal.SIGQUIT):
            give_up = time.monotonic() + _STOP_TIMEOUT.total_seconds()
            if (server := self._running_server()) is not None:
                os.kill(server, how)
            while self._running_server() is not None and time.monotonic() < give_up:
                time.sleep(_POLL_SECONDS)
        if self._running_server() is None:
            (self._files / "postmaster.pid").unlink(missing_ok=True)

    def _running_server(self) -> int | None:
        """Return the id of the process that serves these files.

        The lock file may name a process that has ended, or whose id now belongs to another program.
        """
        lines = self._lock_file()
        return int(lines[0]) if lines and str(self._files) in _command_line(lines[0]) else None

    def _lock_file(self) -> list[str]:
        """Return the lines of the server's lock file: process, folder, start, port, ..., and finally its state."""
        try:
            return (self._files / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _launch(self, port: int) -> bool:
        """Start the server and return whether it became ready."""
        before = self._lock_file()
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        server = [str(self._bin / "postgres"), "-D", str(self._files), f"-p{port}", *options]
        with self._log.open("ab") as log:
            self._keeper = subprocess.Popen(  # noqa: S603  our own command
                ["/bin/sh", "-c", _KEEPER, "sh", *server],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C must reach only this process, which stops the server last
                **self._surroundings(),
            )
        give_up = time.monotonic() + _READY_TIMEOUT.total_seconds()
        while self._keeper.poll() is None and time.monotonic() < give_up:
            lines = self._lock_file()
            if lines != before and len(lines) == _LINES_WHEN_READY and lines[-1].strip() == "ready":
                return True
            time.sleep(_POLL_SECONDS)
        self.stop()
        return False

    def _run(self, tool: str, *arguments: str, say: str = "") -> None:
        done = subprocess.run(  # noqa: S603  our own command
            [str(self._bin / tool), *arguments],
            input=say,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_INIT_TIMEOUT.total_seconds(),
            check=False,
            start_new_session=True,  # Ctrl-C is for us
            **self._surroundings(),
        )
        if done.returncode != 0:
            raise PostgresFailed(f"{tool} failed on {self._place}:\n{done.stdout}")

    def _surroundings(self) -> dict[str, Any]:
        """Return the arguments that start a process: its folder and user, and an environment without our variables."""
        surroundings: dict[str, Any] = {
            "cwd": self._place,
            "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        }
        if self._runs_as is not None:
            surroundings |= {
                "user": self._runs_as.uid,
                "group": self._runs_as.gid,
                "extra_groups": [],
            }
        return surroundings


@dataclass(frozen=True, slots=True)
class _User:
    uid: int
    gid: int


def _user_for(folder: Path) -> _User | None:
    """Return the user that runs the server: `None` is the current user; root uses the folder's owner or `nobody`."""
    if os.geteuid() != 0:
        return None
    owner = folder.stat() if folder.exists() else None
    if owner is not None and owner.st_uid != 0:
        return _User(owner.st_uid, owner.st_gid)
    nobody = pwd.getpwnam("nobody")
    return _User(nobody.pw_uid, nobody.pw_gid)


def _accessible_place(folder: Path, user: _User | None) -> Path:
    """Return the folder in which the server can work: `folder` or its link target."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if user is not None and not _can_reach(folder.parent, user):
        return _linked_place(folder, user)
    folder.mkdir(mode=0o700, exist_ok=True)
    if user is None and folder.stat().st_uid != os.geteuid():
        raise PostgresFailed(
            f"{folder} belongs to another user; set ROOST_HOME to a folder of your own."
        )
    _give(folder, user)
    return folder


def _linked_place(folder: Path, user: _User) -> Path:
    if folder.is_symlink() and folder.exists():
        return folder.resolve()
    folder.unlink(missing_ok=True)  # the link's target is gone
    _STATE.mkdir(mode=0o755, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="data-", dir=_STATE))
    _give(place, user)
    folder.symlink_to(place)
    return place


def _readable_binaries(user: _User | None) -> Path:
    """Return the folder of the server's programs; a copy if `user` cannot read the installed ones."""
    programs = _installed()
    installed = programs.folder
    program = installed / "bin" / "postgres"
    if user is None or (_can_reach(program.parent, user) and program.stat().st_mode & stat.S_IXOTH):
        return installed
    copy = _STATE / f"postgresql-{programs.version}"
    if not copy.exists():
        _STATE.mkdir(mode=0o755, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="copying-", dir=_STATE))
        shutil.copytree(installed, unfinished, dirs_exist_ok=True)
        for path in (unfinished, *unfinished.rglob("*")):
            runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runs else 0o644)
        with contextlib.suppress(OSError):  # another process has just created it
            unfinished.rename(copy)
        shutil.rmtree(unfinished, ignore_errors=True)
    return copy


def _installed() -> Programs:
    try:
        return find_programs()
    except NoPrograms as missing:
        raise PostgresFailed(str(missing)) from missing


def _can_reach(folder: Path, user: _User) -> bool:
    """Return whether `user` may pass through `folder` and everything above it."""
    for step in (folder, *folder.parents):
        status = step.stat()
        bit = stat.S_IXUSR if status.st_uid == user.uid else stat.S_IXOTH
        if not status.st_mode & bit:
            return False
    return True


def _give(path: Path, user: _User | None) -> None:
    if user is not None:
        os.chown(path, user.uid, user.gid)


def _command_line(process: str) -> list[str]:
    """Return the command line of a process as a list; empty if the process does not exist."""
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{process}/cmdline").read_text().split("\0")
        return []
    listing = subprocess.run(  # noqa: S603  a number that PostgreSQL wrote
        ["ps", "-o", "args=", "-p", process],  # noqa: S607  wherever the system keeps it
        capture_output=True,
        text=True,
        timeout=5,
        check=False,
    )
    return listing.stdout.split()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
