import asyncio
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.starters import Executor, ForkServer, Starter
from local.system import FunctionSpec
from local.workers import FunctionPool, LogBook, Outcome, Worker
from tests.local.conftest import read_small_system

ROOT = Path(__file__).resolve().parents[2]


async def invoke_once(
    home: Path,
    function: str | FunctionSpec,
    event: object,
    *,
    starter: Starter | None = None,
    times: int = 1,
) -> list[Outcome]:
    starter = starter or Executor()
    pool = FunctionPool(
        read_small_system().functions[function] if isinstance(function, str) else function,
        size=2,
        starter=starter,
        log_book=LogBook(home / "logs"),
    )
    try:
        return [await pool.invoke(json.dumps(event).encode()) for _ in range(times)]
    finally:
        await pool.close()
        await starter.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():  # not Linux
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        # The first thread can be a zombie while another still holds the process's sockets open.
        return state != "Z" or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


class TestInvoke:
    @pytest.mark.parametrize("make", [Executor, ForkServer])
    def test_function_sees_a_real_context_and_only_its_environment(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        make: type[Executor] | type[ForkServer],
    ) -> None:
        monkeypatch.setenv("SECRET_OF_THE_SUPERVISOR", "x")

        async def scenario() -> Outcome:
            return (await invoke_once(tmp_path, "EchoFunction", {"a": "ü"}, starter=make()))[0]

        outcome = asyncio.run(scenario())

        seen = json.loads(outcome.json()["body"])
        assert not outcome.failed
        assert seen["event"] == {"a": "ü"}
        assert (
            "ü".encode() in outcome.payload
        )  # escaped, it would count thrice against Lambda's limit
        assert 4000 < seen["remainingMs"] <= 5000
        assert seen["memory"] == "128"
        assert (
            seen["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:roost-local-EchoFunction"
        )
        assert seen["environment"]["AWS_LAMBDA_FUNCTION_NAME"] == "roost-local-EchoFunction"
        assert seen["environment"]["STAGE"] == "local"
        assert "SECRET_OF_THE_SUPERVISOR" not in seen["environment"]

    @pytest.mark.parametrize("make", [Executor, ForkServer])
    def test_worker_writes_bytecode_whatever_the_shell_says(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        make: type[Executor] | type[ForkServer],
    ) -> None:
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        echo = read_small_system().functions["EchoFunction"]
        no_bytecode = shutil.ignore_patterns("__pycache__")
        shutil.copytree(echo.code, tmp_path / "code", ignore=no_bytecode)

        async def scenario() -> Outcome:
            here = dataclasses.replace(echo, code=tmp_path / "code")
            return (await invoke_once(tmp_path, here, {}, starter=make()))[0]

        assert not asyncio.run(scenario()).failed
        assert list((tmp_path / "code").rglob("*.pyc"))

    def test_worker_is_kept_for_the_next_invocation(self, tmp_path: Path) -> None:
        first, second = asyncio.run(invoke_once(tmp_path, "EchoFunction", {}, times=2))

        one, two = json.loads(first.json()["body"]), json.loads(second.json()["body"])
        assert one["pid"] == two["pid"]
        assert one["requestId"] != two["requestId"]

    def test_exception_is_lambdas_error_object_and_is_logged(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        outcome = asyncio.run(invoke_once(tmp_path, "FaultyFunction", {}))[0]

        assert outcome.failed
        assert (outcome.json()["errorType"], outcome.json()["errorMessage"]) == (
            "ValueError",
            "as told",
        )
        assert "ValueError: as told" in (tmp_path / "logs" / "FaultyFunction.log").read_text()
        assert "[FaultyFunction] [ERROR] ValueError: as told" in capsys.readouterr().out

    def test_lost_process_is_an_error_and_the_next_invocation_has_a_new_one(
        self, tmp_path: Path
    ) -> None:
        outcomes = asyncio.run(invoke_once(tmp_path, "FaultyFunction", {"exit": True}, times=2))

        assert [outcome.json()["errorType"] for outcome in outcomes] == ["Runtime.ExitError"] * 2

    def test_handler_that_cannot_be_imported_is_named(self, tmp_path: Path) -> None:
        outcome = asyncio.run(invoke_once(tmp_path, "BrokenFunction", {}))[0]

        assert outcome.failed
        assert (
            outcome.error()
            == "Runtime.HandlerNotFound: Handler 'missing' missing on module 'handlers'"
        )

    def test_payload_over_six_megabytes_is_refused(self, tmp_path: Path) -> None:
        outcome = asyncio.run(invoke_once(tmp_path, "EchoFunction", {"a": "x" * 7_000_000}))[0]

        assert outcome.json()["errorType"] == "RequestEntityTooLargeException"


class TestTimeout:
    @pytest.mark.parametrize("make", [Executor, ForkServer])
    def test_worker_is_killed(
        self, tmp_path: Path, make: type[Executor] | type[ForkServer]
    ) -> None:
        async def scenario() -> tuple[Outcome, int, float]:
            starter = make()
            pool = FunctionPool(
                read_small_system().functions["SlowFunction"],
                size=1,
                starter=starter,
                log_book=LogBook(tmp_path / "logs"),
            )
            await pool.warm()
            pid = pool.pids()[0]
            began = time.monotonic()
            outcome = await pool.invoke(b"{}")
            took = time.monotonic() - began
            ended = await asyncio.to_thread(gone_within, pid, 2)
            await pool.close()
            await starter.close()
            assert ended
            return outcome, pid, took

        outcome, _, took = asyncio.run(scenario())

        assert outcome.json()["errorType"] == "Sandbox.Timedout"
        assert "Task timed out after 1.00 seconds" in outcome.json()["errorMessage"]
        assert 1.0 <= took < 2.5


class TestCancellation:
    def test_one_that_meets_readiness_is_not_lost_and_leaves_no_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started: list[int] = []

        async def scenario() -> asyncio.Task[None]:
            starter = Executor()
            pool = FunctionPool(
                read_small_system().functions["EchoFunction"],
                size=1,
                starter=starter,
                log_book=LogBook(tmp_path / "logs"),
            )
            receive = Worker.receive

            async def cancelled_meanwhile(worker: Worker) -> tuple[dict[str, object], bytes]:
                message = await receive(worker)
                started.append(worker.pid)
                invoking.cancel()
                return message

            monkeypatch.setattr(Worker, "receive", cancelled_meanwhile)
            invoking = asyncio.create_task(pool.warm())
            await asyncio.wait([invoking], timeout=20)
            await pool.close()
            await starter.close()
            return invoking

        assert asyncio.run(scenario()).cancelled()
        assert gone_within(started[0], 3)

    def test_of_a_start_ends_the_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def scenario() -> bool:
            starter = Executor()
            pool = FunctionPool(
                read_small_system().functions["EchoFunction"],
                size=1,
                starter=starter,
                log_book=LogBook(tmp_path / "logs"),
            )
            started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

            async def never(worker: Worker) -> tuple[dict[str, object], bytes]:
                started.set_result(worker.pid)
                await asyncio.sleep(60)
                raise AssertionError

            monkeypatch.setattr(Worker, "receive", never)
            invoking = asyncio.create_task(pool.invoke(b"{}"))
            pid = await started
            invoking.cancel()
            await asyncio.wait([invoking], timeout=20)
            ended = await asyncio.to_thread(gone_within, pid, 3)
            await pool.close()
            await starter.close()
            return ended

        assert asyncio.run(scenario())


class TestLogBook:
    """Finding 6.4: a full disk."""

    def test_worker_goes_on_when_its_log_cannot_be_written_and_so_does_the_log_later(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        book = LogBook(tmp_path / "logs")
        blocked = tmp_path / "logs" / "F.log"

        async def scenario() -> None:
            read_end, write_end = os.pipe()
            following = asyncio.create_task(book.follow("F", read_end))
            blocked.mkdir()  # as good as a full disk, also for root
            for text in (b"one\n", b'{"level":"ERROR","n":2}\n'):
                os.write(write_end, text)
            while '"n":2' not in capsys_text():
                await asyncio.sleep(0.01)
            blocked.rmdir()
            os.write(write_end, b"three\n")
            os.close(write_end)
            await following

        said = ""

        def capsys_text() -> str:
            nonlocal said
            said += capsys.readouterr().out
            return said

        asyncio.run(scenario())

        assert blocked.read_text() == "three\n"
        assert said.count("Its log cannot be written: Is a directory.") == 1


class TestConcurrency:
    def test_no_more_invocations_at_once_than_workers(self, tmp_path: Path) -> None:
        async def scenario() -> set[int]:
            starter = Executor()
            pool = FunctionPool(
                read_small_system().functions["EchoFunction"],
                size=2,
                starter=starter,
                log_book=LogBook(tmp_path / "logs"),
            )
            outcomes = await asyncio.gather(*(pool.invoke(b"{}") for _ in range(6)))
            await pool.close()
            await starter.close()
            return {json.loads(outcome.json()["body"])["pid"] for outcome in outcomes}

        assert len(asyncio.run(scenario())) == 2


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from local.starters import Executor, ForkServer
from local.workers import FunctionPool, LogBook
from tests.local.conftest import read_small_system

async def main():
    starter = {"fork": ForkServer, "exec": Executor}[sys.argv[1]]()
    pool = FunctionPool(read_small_system().functions["StuckFunction"], size=1, starter=starter, log_book=LogBook(Path(sys.argv[2])))
    await pool.warm()
    asyncio.create_task(pool.invoke(b"{}"))
    await asyncio.sleep(0.3)
    print(*pool.pids(), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


class TestDeathOfTheSupervisor:
    @pytest.mark.parametrize("way", ["exec", "fork"])
    def test_busy_workers_end_with_it(self, tmp_path: Path, way: str) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, way, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as supervisor:
            assert supervisor.stdout is not None
            pids = [int(pid) for pid in supervisor.stdout.readline().split()]
            assert pids
            assert all(is_alive(pid) for pid in pids)
            supervisor.send_signal(signal.SIGKILL)
            supervisor.wait(5)

        assert all(gone_within(pid, 3) for pid in pids)


class TestIdleWorkerThatDied:
    @pytest.mark.parametrize("make", [Executor, ForkServer])
    def test_next_invocation_gets_another_even_before_the_loop_has_read_the_end_of_its_stream(
        self, tmp_path: Path, make: type[Executor] | type[ForkServer]
    ) -> None:
        async def scenario() -> bool:
            starter = make()
            pool = FunctionPool(
                read_small_system().functions["IdFunction"],
                size=1,
                starter=starter,
                log_book=LogBook(tmp_path / "logs"),
            )
            await pool.invoke(b"{}")
            (worker,) = pool.pids()
            os.kill(worker, signal.SIGKILL)
            assert gone_within(worker, 3)  # blocks the event loop, on purpose
            outcome = await pool.invoke(b"{}")
            await pool.close()
            await starter.close()
            return outcome.failed

        assert asyncio.run(scenario()) is False


class TestForkedWorkers:
    def test_zygote_that_is_killed_takes_its_workers_along_and_is_started_again(
        self, tmp_path: Path
    ) -> None:
        """Finding 8.1, of the process that workers are forked from."""

        async def scenario() -> tuple[bool, bool]:
            starter = ForkServer()
            pool = FunctionPool(
                read_small_system().functions["IdFunction"],
                size=1,
                starter=starter,
                log_book=LogBook(tmp_path / "logs"),
            )
            await pool.invoke(b"{}")
            (worker,) = pool.pids()
            os.kill(starter._process.pid, signal.SIGKILL)
            ended = await asyncio.to_thread(gone_within, worker, 5)
            outcome = await pool.invoke(b"{}")
            await pool.close()
            await starter.close()
            return ended, outcome.failed

        assert asyncio.run(scenario()) == (True, False)

    def test_zygote_whose_parent_ended_before_the_answer_ends_quietly(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = json.dumps({"control": theirs.fileno(), "life": theirs.fileno()})
        with ours, theirs:
            zygote = subprocess.Popen(
                [sys.executable, "-m", "local.zygote", given],
                pass_fds=[theirs.fileno()],
                stderr=subprocess.PIPE,
            )
            ours.send(b'{"do": "kill", "pid": 0}')
        assert zygote.communicate(timeout=60)[1] == b""
        assert zygote.returncode == 0

    def test_they_do_not_make_the_same_ids(self, tmp_path: Path) -> None:
        async def scenario() -> list[str]:
            starter = ForkServer()
            pool = FunctionPool(
                read_small_system().functions["IdFunction"],
                size=2,
                starter=starter,
                log_book=LogBook(tmp_path / "logs"),
            )
            outcomes = await asyncio.gather(pool.invoke(b"{}"), pool.invoke(b"{}"))
            await pool.close()
            await starter.close()
            return [one for outcome in outcomes for one in outcome.json()]

        ids = asyncio.run(scenario())

        assert len(ids) == len({one[-12:] for one in ids}) == 20
