"""Starts and stops the whole system on one machine; it composes everything else in `local/`."""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pg8000.dbapi

from local import database_clock
from local.aws import LocalAws
from local.clock import VARIABLE, SharedOffset, follow
from local.clock_requests import PATH as CLOCK_PATH
from local.clock_requests import WithClock
from local.database import check_database, why
from local.environment import (
    ACCESS_KEY,
    OPENID_SECRET,
    Addresses,
    function_environment,
    own_addresses,
    template_parameters,
)
from local.gateway import MAIL_JSON, MAIL_PAGE, Gateway
from local.home import CannotStart, Home
from local.intrinsics import TemplateRefused
from local.keep import PartEnded, keep_aws, keep_database, watch_disk
from local.mailbox import Mailbox
from local.names import FILE as NAMES_FILE
from local.names import NameServer
from local.on_demand import OnDemand
from local.postgres import EmbeddedPostgres
from local.provider_keys import KEYS_FILE, read_keys
from local.queues import QueueFeed
from local.rearming import Rearming
from local.sandbox.app import Sandbox, make_sandbox
from local.schedules import Timers
from local.seed import Demo, SeedContext, seed
from local.serving import serve
from local.starters import ROOT, Starter
from local.storage.front import Storage
from local.storage.objects import ObjectStore
from local.storage.signatures import Verifier
from local.system import FunctionSpec, System
from local.template import read_parameters, read_system
from local.walk import Busy, MovableClock
from local.workers import FunctionPool, LogBook

MIGRATE, RECONCILE = "MigrateFunction", "ReconcileFunction"
_HTTP_WORKERS = 2
_QUEUE_WORKERS = 4
_OTHER_WORKERS = 2
# The functions that the demo account needs before the system is ready.
_ASKED_FIRST = ("IdentityFunction", "ChannelsFunction")


@dataclass(frozen=True, slots=True)
class Listeners:
    """The listening sockets, opened before anything is started, so that a port in use fails early."""

    api: socket.socket
    sandbox: socket.socket
    objects: socket.socket
    openid: socket.socket


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts that run before any request is served."""

    system: System
    aws: LocalAws
    mailbox: Mailbox
    addresses: Addresses
    pools: Mapping[str, FunctionPool]
    database_url: str
    postgres: EmbeddedPostgres | None  # None: DATABASE_URL names somebody else's
    clock: MovableClock
    timers: Timers
    feeds: Sequence[QueueFeed]
    sandbox: Sandbox


class _StoppedEarly(Exception):
    """A stop was requested before everything was running."""


async def run(home: Home, listeners: Listeners, starter: Starter, stop: asyncio.Event) -> None:
    """Start the system, announce that it is ready, and stop it when `stop` is set. `starter` is closed with it.

    Raises:
        CannotStart: a part did not start; the message says which and why.
        PartEnded: a part ended later and could not be restarted.
    """
    with contextlib.suppress(_StoppedEarly):
        await _run(home, listeners, starter, stop)


async def _run(home: Home, listeners: Listeners, starter: Starter, stop: asyncio.Event) -> None:
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(starter.close)
        parts = await _bring_up(home, listeners, starter, stack, stop)
        servers = _servers(home, parts, listeners, stack, stop)
        await stack.enter_async_context(_background(servers, stop, patience_seconds=3))
        openid = OnDemand(
            "local.openid_provider",
            ["--clock", str(home.path / "clock")],
            listener=listeners.openid,
            log=home.path / "logs" / "openid_provider.log",
        )
        await stack.enter_async_context(
            _background([*_consumers(parts), openid.run()], stop, patience_seconds=0)
        )
        await stack.enter_async_context(
            _background(_keepers(home, parts), stop, patience_seconds=0)
        )
        addresses = parts.addresses
        context = SeedContext(
            home.path, addresses.api, addresses.sandbox, f"{addresses.api}{MAIL_JSON}"
        )
        demo = await _seeded(context, stop)

        def publish(offset: timedelta) -> None:
            home.publish(_details(addresses, demo, parts.database_url, offset))

        publish(parts.clock.offset)
        parts.clock.moved = publish
        stack.callback(home.withdraw)
        print(_greeting(home, addresses, demo, seconds=time.monotonic() - began), flush=True)
        rearming = Rearming(parts.database_url, partial(_reconcile, parts.pools))
        await stack.enter_async_context(_background([rearming.run()], stop, patience_seconds=0))
        warming = asyncio.create_task(_warm(parts))
        await stop.wait()
        warming.cancel()


async def _bring_up(
    home: Home,
    listeners: Listeners,
    starter: Starter,
    stack: AsyncExitStack,
    stop: asyncio.Event,
) -> _Parts:
    """Start the database, create the template's resources, and migrate; `stack` undoes it."""
    postgres, database_url = await _database(home, stack)
    offset = await asyncio.to_thread(_follow_the_database, home, database_url)
    _go_on(stop)
    mailbox = Mailbox(home.path / "mails")
    aws = LocalAws(home.path, mailbox)
    stack.callback(aws.close)
    names = NameServer(home.path / NAMES_FILE)
    stack.callback(names.close)
    addresses = Addresses(
        _url(listeners.api),
        _url(listeners.sandbox),
        _url(listeners.objects),
        aws.endpoint,
        _url(listeners.openid),
        names.address,
    )
    try:
        system = _read(home, addresses, database_url)
        aws.create(system)
        if (keys := read_keys(home.path / KEYS_FILE)) is not None:
            aws.put_secret(_providers_secret(system), keys)
        aws.add_to_secret(_providers_secret(system), OPENID_SECRET)
    except TemplateRefused as refused:
        raise CannotStart(f"template.yaml: {refused}") from refused
    pools = _pools(system, starter, LogBook(home.path / "logs"))
    for pool in pools.values():
        stack.push_async_callback(pool.close)
    _go_on(stop)
    await asyncio.gather(_migrate(pools), *(pools[name].warm() for name in _ASKED_FIRST))
    _go_on(stop)
    await asyncio.to_thread(database_clock.bind_defaults, database_url)
    sandbox = make_sandbox(home.path, public_url=addresses.sandbox)
    stack.callback(sandbox.close)
    timers = Timers(aws, system, pools)
    feeds = [
        QueueFeed(source, aws.queue(source.queue_arn), pools[source.function])
        for source in system.sources
    ]
    movable = MovableClock(
        offset,
        database_url,
        Busy(timers, feeds, list(pools.values()), [sandbox.next_moment]),
        own_addresses=own_addresses(next(iter(system.functions.values())).environment),
    )
    return _Parts(
        system,
        aws,
        mailbox,
        addresses,
        pools,
        database_url,
        postgres,
        movable,
        timers,
        feeds,
        sandbox,
    )


def _follow_the_database(home: Home, database_url: str) -> SharedOffset:
    """Make every part follow the database's clock, which keeps its offset from run to run."""
    try:
        ahead = database_clock.install(database_url)
    except pg8000.dbapi.Error as error:
        raise CannotStart(
            f"The clock cannot be put into the database: {why(error)}. Let its role make a schema (GRANT CREATE ON "
            "DATABASE), or leave DATABASE_URL out for the embedded one."
        ) from error
    offset = SharedOffset(home.path / "clock")
    offset.write(ahead)
    follow(offset)
    return offset


async def _seeded(context: SeedContext, stop: asyncio.Event) -> Demo:
    """Register the demo account through our own API."""
    try:
        demo = await asyncio.to_thread(seed, context)
    except Exception:
        _go_on(stop)  # its requests are no longer answered
        raise
    _go_on(stop)
    return demo


def _go_on(stop: asyncio.Event) -> None:
    """Raise `_StoppedEarly` if a stop was requested."""
    if stop.is_set():
        raise _StoppedEarly


async def _database(home: Home, stack: AsyncExitStack) -> tuple[EmbeddedPostgres | None, str]:
    """Return the database's address: the configured one, or an embedded one that ends with this process."""
    if given := os.environ.get("DATABASE_URL"):
        await asyncio.to_thread(check_database, given)
        return None, given
    postgres = EmbeddedPostgres(home.path / "postgres", home.path / "logs" / "postgres.log")
    stack.push_async_callback(asyncio.to_thread, postgres.stop)
    return postgres, await asyncio.to_thread(postgres.start)


def _read(home: Home, addresses: Addresses, database_url: str) -> System:
    return read_system(
        ROOT / "template.yaml",
        parameters={**read_parameters(ROOT / "samconfig.toml"), **template_parameters(addresses)},
        environment={
            **function_environment(
                addresses, database_url=database_url, secret_key=secrets.token_hex(20)
            ),
            VARIABLE: str(home.path / "clock"),
        },
        aws_endpoint=addresses.aws,
    )


def _providers_secret(system: System) -> str:
    """Return the name of the secret that holds the platforms' keys."""
    named = (spec.environment.get("PROVIDERS_SECRET_NAME") for spec in system.functions.values())
    return next(name for name in named if name)


def _pools(system: System, starter: Starter, log_book: LogBook) -> Mapping[str, FunctionPool]:
    http = {route.function for route in system.routes}
    fed = {source.function: source.max_concurrency or _QUEUE_WORKERS for source in system.sources}

    def size(spec: FunctionSpec) -> int:
        if spec.logical_id in fed:
            return min(fed[spec.logical_id], _QUEUE_WORKERS)
        return _HTTP_WORKERS if spec.logical_id in http else _OTHER_WORKERS

    return {
        name: FunctionPool(spec, size=size(spec), starter=starter, log_book=log_book)
        for name, spec in system.functions.items()
    }


async def _migrate(pools: Mapping[str, FunctionPool]) -> None:
    outcome = await pools[MIGRATE].invoke(b"{}")
    if outcome.failed:
        raise CannotStart(f"The database could not be migrated: {outcome.error()}")
    await pools[MIGRATE].close()


def _servers(
    home: Home, parts: _Parts, listeners: Listeners, stack: AsyncExitStack, stop: asyncio.Event
) -> Sequence[Coroutine[Any, Any, None]]:
    """Return the servers of the API, the sandbox and the object storage."""
    store = ObjectStore(home.path / "objects")
    stack.callback(store.close)
    gateway = Gateway(parts.system.routes, parts.pools, parts.mailbox, parts.system.api_cors)
    return (
        serve(gateway, listeners.api, stop),
        serve(WithClock(parts.sandbox, parts.clock), listeners.sandbox, stop),
        serve(_storage(store, parts.system), listeners.objects, stop),
    )


def _storage(store: ObjectStore, system: System) -> Storage:
    secret_key = next(iter(system.functions.values())).environment["AWS_SECRET_ACCESS_KEY"]
    if len(system.buckets) != 1:
        raise CannotStart("template.yaml: the local runtime serves one bucket to everybody")
    return Storage(
        store,
        system.buckets,
        Verifier(ACCESS_KEY, secret_key),
        public_bucket=system.buckets[0].name,
    )


def _consumers(parts: _Parts) -> Sequence[Coroutine[Any, Any, None]]:
    """Return the timers and the queue feeds."""
    return (parts.timers.run(), *(feed.run() for feed in parts.feeds))


def _keepers(home: Home, parts: _Parts) -> Sequence[Coroutine[Any, Any, None]]:
    """Return the tasks that watch the supporting processes and the disk."""
    database = [keep_database(parts.postgres)] if parts.postgres else []
    return (*database, keep_aws(parts.aws), watch_disk(home.path))


@contextlib.asynccontextmanager
async def _background(
    coroutines: Sequence[Coroutine[Any, Any, None]], stop: asyncio.Event, *, patience_seconds: float
) -> AsyncIterator[None]:
    """Run background tasks until `stop`, then wait briefly for them to end. If one fails, all are stopped."""
    failures: list[BaseException] = []

    def ended(task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None and not stop.is_set():
            error = PartEnded(f"{task.get_coro()} ended by itself. Start Roost again.")
        if error is not None:
            failures.append(error)
            stop.set()

    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        stop.set()
        if patience_seconds:
            await asyncio.wait(tasks, timeout=patience_seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if failures:
            raise failures[0]


async def _reconcile(pools: Mapping[str, FunctionPool]) -> None:
    """Run reconcile now instead of waiting for its schedule."""
    outcome = await pools[RECONCILE].invoke(b"{}")
    if outcome.failed:
        print(f"Reconcile failed; it runs again every minute. {outcome.error()}", flush=True)


async def _warm(parts: _Parts) -> None:
    """Start a worker of each function that people wait for, one at a time; time-critical functions first."""
    fed = (source.function for source in parts.system.sources)
    asked = (route.function for route in parts.system.routes)
    for name in dict.fromkeys([*fed, *asked]):
        await parts.pools[name].warm()


def _url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _details(
    addresses: Addresses, demo: Demo, database_url: str, offset: timedelta
) -> Mapping[str, Any]:
    return {
        "databaseUrl": database_url,
        "url": addresses.api,
        "docsUrl": f"{addresses.api}/docs",
        "sandboxUrl": addresses.sandbox,
        "openidUrl": addresses.openid,
        "mailUrl": f"{addresses.api}{MAIL_PAGE}",
        "clock": {
            "url": f"{addresses.sandbox}{CLOCK_PATH}",
            "offsetSeconds": offset.total_seconds(),
        },
        "demo": {
            "email": demo.email,
            "password": demo.password,
            "organizationId": demo.organization_id,
            "apiKey": demo.api_key,
        },
        "demoMember": {
            "email": demo.member.email,
            "password": demo.member.password,
            "totpSecret": demo.member.totp_secret,
        },
    }


def _greeting(home: Home, addresses: Addresses, demo: Demo, *, seconds: float) -> str:
    lines: Sequence[tuple[str, str]] = (
        ("API", addresses.api),
        ("Reference", f"{addresses.api}/docs"),
        ("Sandbox network", addresses.sandbox),
        ("OpenID provider", addresses.openid),
        ("Emails", f"{addresses.api}{MAIL_PAGE}"),
        ("Demo login", f"{demo.email} / {demo.password}"),
        ("With a factor", f"{demo.member.email} / {demo.member.password}"),
        ("Data, logs", str(home.path)),
    )
    listed = "\n".join(f"  {name:<16} {value}" for name, value in lines)
    return f"Roost is ready ({seconds:.1f} s): PostgreSQL, queues, schedules, object storage, email, functions, sandbox.\n{listed}\nCtrl-C stops it."
