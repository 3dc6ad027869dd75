"""Whether everything on a laptop has the time that it was moved to: processes, schedules, queues, storage, signatures."""

import asyncio
import importlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from local.clock import SharedOffset, follow, sign_by_the_clock
from local.expressions import next_firing
from local.mailbox import Mailbox
from local.queues import QueueFeed
from local.schedules import Timers
from local.workers import Outcome
from shared.core import clock
from shared.core.ids import SessionId, UserId
from shared.identity import tokens
from tests.local.conftest import SmallAws
from tests.running import ROOT

FORTY_DAYS = timedelta(days=40)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def offset(tmp_path: Path) -> Iterator[SharedOffset]:
    """What this process's clock follows, until the test ends."""
    offset = SharedOffset(tmp_path / "clock")
    follow(offset)
    yield offset
    clock.read_from(clock.machine_time)


class TestSharedOffset:
    def test_begins_at_nothing_and_is_kept(self, tmp_path: Path) -> None:
        first = SharedOffset(tmp_path / "clock")
        assert first.read() == timedelta()
        first.write(timedelta(days=40, microseconds=-1))
        assert SharedOffset(tmp_path / "clock").read() == timedelta(days=40, microseconds=-1)

    def test_processes_that_run_see_a_move_at_once(self, tmp_path: Path) -> None:
        offset = SharedOffset(tmp_path / "clock")
        program = (
            "import sys; from pathlib import Path; from local.clock import SharedOffset, follow;"
            "from shared.core import clock; follow(SharedOffset(Path(sys.argv[1])))\n"
            "for line in sys.stdin: print(clock.now().isoformat(), flush=True)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "clock")],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as other:  # fmt: skip
            assert other.stdin
            assert other.stdout
            for ahead in (timedelta(), FORTY_DAYS):
                offset.write(ahead)
                other.stdin.write("\n")
                other.stdin.flush()
                told = datetime.fromisoformat(other.stdout.readline().strip())
                assert abs(told - datetime.now(UTC) - ahead) < MINUTE
            other.stdin.close()


class TestWhatFollows:
    def test_session_tokens_end_by_it(
        self, offset: SharedOffset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tokens, "_keys", lambda: {"1": "k" * 32})
        claims = tokens.SessionClaims(UserId(uuid4()), SessionId(uuid4()))
        old = tokens.sign_access_token(claims)
        for ahead, found in ((880, claims), (903, claims), (906, None)):  # 5 s of leeway
            offset.write(timedelta(seconds=ahead))
            assert tokens.read_access_token(old) == found
        offset.write(FORTY_DAYS)
        assert tokens.read_access_token(old) is None
        assert tokens.read_access_token(tokens.sign_access_token(claims)) == claims

    def test_presigned_addresses_are_signed_by_it(
        self, offset: SharedOffset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        auth: Any = importlib.import_module("botocore.auth")
        monkeypatch.setattr(auth, "get_current_datetime", auth.get_current_datetime)  # fmt: skip
        sign_by_the_clock()
        offset.write(FORTY_DAYS)
        make: Any = boto3.client
        client = make("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b",
            config=Config(signature_version="s3v4"))  # fmt: skip
        signed = client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
        assert f"X-Amz-Date={clock.now():%Y%m%d}" in signed

    def test_mails_are_dated_by_it(self, offset: SharedOffset, tmp_path: Path) -> None:
        offset.write(FORTY_DAYS)
        mailbox = Mailbox(tmp_path / "mails")
        mailbox.keep({"Content": {"Simple": {"Subject": {"Data": ""}, "Body": {}}}})
        (mail,) = mailbox.newest_first()
        assert abs(datetime.fromisoformat(mail.sent_at) - datetime.now(UTC) - FORTY_DAYS) < MINUTE


class _Pool:
    """A function that notes by the clock when it was invoked, and fails so many times first."""

    def __init__(self, spec: Any, failures: int = 0) -> None:
        self.spec, self.size, self.failures = spec, 2, failures
        self.times: list[datetime] = []
        self.is_busy = False

    async def invoke(self, _event: bytes, **_given: Any) -> Outcome:
        self.times.append(clock.now())
        self.failures -= 1
        return Outcome(b"{}", failed=self.failures >= 0)


async def settle(*busy: Timers | QueueFeed) -> None:
    async with asyncio.timeout(5):
        while any(one.is_busy for one in busy):
            await asyncio.sleep(0.001)


class TestSchedules:
    def test_rates_fire_at_each_of_their_moments(
        self, offset: SharedOffset, small_aws: SmallAws
    ) -> None:
        aws, system, _ = small_aws
        pool = _Pool(system.functions["TickFunction"])

        async def scenario() -> None:
            timers = Timers(aws, system, {"TickFunction": pool})  # type: ignore[dict-item]
            task = asyncio.create_task(timers.run())
            await asyncio.sleep(0)
            for _ in range(5):
                moment = timers.next_moment()
                assert moment
                offset.write(moment - clock.machine_time())
                timers.wake()
                await settle(timers)
            task.cancel()

        asyncio.run(scenario())
        assert len(pool.times) == 5
        apart = [after - before for before, after in zip(pool.times, pool.times[1:], strict=False)]
        assert all(abs(one - MINUTE) < timedelta(seconds=1) for one in apart)

    def test_rate_that_missed_its_moments_fires_once(
        self, offset: SharedOffset, small_aws: SmallAws
    ) -> None:
        aws, system, _ = small_aws
        pool = _Pool(system.functions["TickFunction"])

        async def scenario() -> None:
            timers = Timers(aws, system, {"TickFunction": pool})  # type: ignore[dict-item]
            task = asyncio.create_task(timers.run())
            await asyncio.sleep(0)
            offset.write(FORTY_DAYS)
            timers.wake()
            await settle(timers)
            moment = timers.next_moment()
            assert moment
            assert timedelta() < moment - clock.now() <= MINUTE
            task.cancel()

        asyncio.run(scenario())
        assert len(pool.times) == 1

    def test_rates_below_an_hour_are_thinned_as_long_as_it_is_said(
        self, offset: SharedOffset, small_aws: SmallAws
    ) -> None:
        aws, system, _ = small_aws
        pool = _Pool(system.functions["TickFunction"])

        async def scenario() -> None:
            timers = Timers(aws, system, {"TickFunction": pool})  # type: ignore[dict-item]
            task = asyncio.create_task(timers.run())
            await asyncio.sleep(0)
            with timers.thinned(10 * HOUR):
                await self.go(timers, offset)  # planned before
                assert self.ahead(timers) > 9 * HOUR
                timers.fire_thinned()
                await settle(timers)
                assert len(pool.times) == 2
                await self.go(timers, offset)
                assert pool.times[2] - pool.times[1] > 9 * HOUR
            assert self.ahead(timers) <= MINUTE
            task.cancel()

        asyncio.run(scenario())

    async def go(self, timers: Timers, offset: SharedOffset) -> None:
        moment = timers.next_moment()
        assert moment
        offset.write(moment - clock.machine_time())
        timers.wake()
        await settle(timers)

    def ahead(self, timers: Timers) -> timedelta:
        moment = timers.next_moment()
        assert moment
        return moment - clock.now()

    def test_failed_invocation_is_repeated_by_the_clock(
        self, offset: SharedOffset, small_aws: SmallAws
    ) -> None:
        aws, system, _ = small_aws
        pool = _Pool(system.functions["TickFunction"], failures=2)

        async def scenario() -> None:
            timers = Timers(aws, system, {"TickFunction": pool})  # type: ignore[dict-item]
            task = asyncio.create_task(timers.run())
            await asyncio.sleep(0)
            aws.scheduler.schedule_groups["default"].schedules.clear()
            spec = system.functions["TickFunction"]
            invoking = asyncio.create_task(timers.invoke_later(spec, b"{}", spec.arn))
            await asyncio.sleep(0)
            for _ in range(2):
                await self.go(timers, offset)
                await asyncio.sleep(0.05)
            await asyncio.wait_for(invoking, 5)
            task.cancel()

        asyncio.run(scenario())
        assert [round((one - pool.times[0]).total_seconds()) for one in pool.times] == [0, 60, 180]

    @pytest.mark.parametrize(
        ("expression", "late", "then"),
        [
            ("rate(1 hour)", timedelta(hours=5, minutes=20), timedelta(hours=6)),
            ("rate(1 hour)", timedelta(hours=5), timedelta(hours=6)),
            ("rate(1 hour)", timedelta(), HOUR),
            ("cron(0 * * * ? *)", timedelta(hours=5, minutes=20), timedelta(hours=6)),
        ],
    )
    def test_what_recurs_goes_on_after_now(
        self, expression: str, late: timedelta, then: timedelta
    ) -> None:
        fired = datetime(2026, 7, 1, 9, tzinfo=UTC)
        found = next_firing(expression, "UTC", created=fired - HOUR, after=fired, now=fired + late)
        assert found == fired + then


class TestQueues:
    def test_delayed_message_comes_when_the_clock_says_so(
        self, offset: SharedOffset, small_aws: SmallAws
    ) -> None:
        aws, system, _ = small_aws
        source = next(one for one in system.sources if one.function == "WorkFunction")
        pool = _Pool(system.functions["WorkFunction"])

        async def scenario() -> None:
            offset.write(FORTY_DAYS)
            feed = QueueFeed(source, aws.queue(source.queue_arn), pool)  # type: ignore[arg-type]
            task = asyncio.create_task(feed.run())
            name = source.queue_arn.rsplit(":", 1)[-1]
            aws.queues.send_message(name, "{}", delay_seconds=900)
            begun = clock.now()
            moment = feed.next_moment()
            assert moment
            assert abs(moment - begun - 15 * MINUTE) < timedelta(seconds=1)
            assert not feed.is_busy
            await asyncio.sleep(0.05)
            assert pool.times == []
            offset.write(moment - clock.machine_time())
            assert feed.is_busy
            feed.wake()
            await settle(feed)
            assert pool.times[0] >= moment - timedelta(milliseconds=5)
            assert feed.next_moment() is None
            task.cancel()

        asyncio.run(scenario())
