"""How the whole system comes up on one machine, and goes down: the composition of everything else in `local/`."""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pg8000.dbapi
import uvicorn
from sqlalchemy.engine import make_url

from local.aws import LocalAws
from local.environment import ACCESS_KEY, Addresses, function_environment, template_parameters
from local.gateway import MAIL_JSON, MAIL_PAGE, Gateway
from local.home import CannotStart, Home
from local.intrinsics import TemplateRefused
from local.mailbox import Mailbox
from local.objects import ObjectStore
from local.postgres import EmbeddedPostgres
from local.queues import QueueFeed
from local.sandbox.app import make_sandbox
from local.schedules import Timers
from local.seed import Demo, SeedContext, seed
from local.signatures import Verifier
from local.starters import ROOT, Starter, make_starter
from local.storage import Storage
from local.template import FunctionSpec, System, read_parameters, read_system
from local.workers import FunctionPool, LogBook

MIGRATE, RECONCILE = "MigrateFunction", "ReconcileFunction"
_HTTP_WORKERS = 2
_QUEUE_WORKERS = 4
_OTHER_WORKERS = 2
_DATABASE_SECONDS = 10

# Schedules and messages did not survive: reconcile is to make them anew from the database.
_FORGET_ARMING = """
    update posts set armed_revision = null, enqueued_at = null, next_check_at = null
    where state = 'queued' and (armed_revision is not null or enqueued_at is not null or next_check_at is not null)
"""


@dataclass(frozen=True, slots=True)
class Listeners:
    """The sockets that are served; taken before anything is started, so that a taken port costs nothing."""

    api: socket.socket
    sandbox: socket.socket
    objects: socket.socket


async def run(home: Home, listeners: Listeners, stop: asyncio.Event) -> None:
    """Bring the system up, say so, and take it down when `stop` is set.

    Raises:
        CannotStart: a part of it did not come up; the message says which and why.
    """
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        starter = make_starter()  # imports the libraries while the database starts
        stack.push_async_callback(starter.close)
        database_url = await _database(home, stack)
        try:
            system, aws, mailbox, addresses = _system(home, listeners, database_url, stack)
        except TemplateRefused as refused:
            raise CannotStart(f"template.yaml: {refused}") from refused
        pools = _pools(system, starter, LogBook(home.path / "logs"))
        for pool in pools.values():
            stack.push_async_callback(pool.close)
        await _migrate(pools)
        await asyncio.to_thread(_forget_arming, database_url)
        sandbox = make_sandbox(home.path, public_url=addresses.sandbox)
        stack.callback(sandbox.close)
        timers = Timers(aws, system, pools)
        await stack.enter_async_context(
            _background(
                _serve(
                    Gateway(system.routes, pools, mailbox, system.api_cors), listeners.api, stop
                ),
                _serve(sandbox, listeners.sandbox, stop),
                _serve(_storage(home, system, stack), listeners.objects, stop),
                timers.run(),
                *(
                    QueueFeed(source, aws.queue(source.queue_arn), pools[source.function]).run()
                    for source in system.sources
                ),
                stop=stop,
            )
        )
        reconciling = asyncio.create_task(_reconcile(pools))
        context = SeedContext(
            home.path, addresses.api, addresses.sandbox, f"{addresses.api}{MAIL_JSON}"
        )
        demo = await asyncio.to_thread(seed, context)
        await reconciling
        home.publish(_facts(addresses, demo))
        stack.callback(home.withdraw)
        print(_greeting(home, addresses, demo, seconds=time.monotonic() - began), flush=True)
        warming = asyncio.create_task(_warm(system, pools))
        await stop.wait()
        warming.cancel()
        print("\nStopping.", flush=True)


async def _database(home: Home, stack: AsyncExitStack) -> str:
    """Return the address of the database: the one that is given, or an embedded one that ends with us."""
    if given := os.environ.get("DATABASE_URL"):
        return given
    postgres = EmbeddedPostgres(home.path / "postgres", home.path / "logs" / "postgres.log")
    stack.push_async_callback(asyncio.to_thread, postgres.stop)
    return await asyncio.to_thread(postgres.start)


def _system(
    home: Home, listeners: Listeners, database_url: str, stack: AsyncExitStack
) -> tuple[System, LocalAws, Mailbox, Addresses]:
    """Read the template and make its resources."""
    mailbox = Mailbox(home.path / "mails")
    aws = LocalAws(home.path, mailbox)
    stack.callback(aws.close)
    addresses = Addresses(
        _url(listeners.api), _url(listeners.sandbox), _url(listeners.objects), aws.endpoint
    )
    system = read_system(
        ROOT / "template.yaml",
        parameters={**read_parameters(ROOT / "samconfig.toml"), **template_parameters(addresses)},
        environment=function_environment(
            addresses, database_url=database_url, secret_key=secrets.token_hex(20)
        ),
        aws_endpoint=aws.endpoint,
    )
    aws.create(system)
    return system, aws, mailbox, addresses


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


def _forget_arming(database_url: str) -> None:
    url = make_url(database_url)
    with contextlib.closing(
        pg8000.dbapi.connect(
            user=url.username,
            password=url.password,
            host=url.host,
            port=url.port or 5432,
            database=url.database,
            timeout=_DATABASE_SECONDS,
        )
    ) as connection:
        connection.cursor().execute(_FORGET_ARMING)
        connection.commit()


def _storage(home: Home, system: System, stack: AsyncExitStack) -> Storage:
    store = ObjectStore(home.path / "objects")
    stack.callback(store.close)
    secret_key = next(iter(system.functions.values())).environment["AWS_SECRET_ACCESS_KEY"]
    if len(system.buckets) != 1:
        raise CannotStart(
            "template.yaml: the local runtime serves one bucket to the public, and there are several"
        )
    return Storage(
        store,
        system.buckets,
        Verifier(ACCESS_KEY, secret_key),
        public_bucket=system.buckets[0].name,
    )


@contextlib.asynccontextmanager
async def _background(
    *coroutines: Coroutine[Any, Any, None], stop: asyncio.Event
) -> AsyncIterator[None]:
    """Run everything that goes on until the end; the end of one of them by an error is the end of all."""
    failures: list[BaseException] = []

    async def watched(coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                failures.append(error)
                stop.set()
            raise

    tasks = [asyncio.create_task(watched(coroutine)) for coroutine in coroutines]
    try:
        yield
    finally:
        stop.set()  # lets the servers finish what they answer
        await asyncio.wait(tasks, timeout=0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if failures:
            raise failures[0]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the supervisor."""
        yield


async def _serve(app: Any, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve an ASGI application until the end."""
    server = _Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=65,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await stop.wait()
    finally:
        server.should_exit = True
        await serving


async def _reconcile(pools: Mapping[str, FunctionPool]) -> None:
    """Look for what is due or unarmed at once, not only when the rate comes round."""
    outcome = await pools[RECONCILE].invoke(b"{}")
    if outcome.failed:
        print(f"Reconcile failed; it is tried again every minute. {outcome.error()}", flush=True)


async def _warm(system: System, pools: Mapping[str, FunctionPool]) -> None:
    """Start a worker of each function that somebody waits for, one after the other; those with a second to keep first."""
    fed = [source.function for source in system.sources]
    for name in dict.fromkeys([*fed, *(route.function for route in system.routes)]):
        await pools[name].warm()


def _url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _facts(addresses: Addresses, demo: Demo) -> Mapping[str, Any]:
    return {
        "url": addresses.api,
        "docsUrl": f"{addresses.api}/docs",
        "sandboxUrl": addresses.sandbox,
        "mailUrl": f"{addresses.api}{MAIL_PAGE}",
        "demo": {
            "email": demo.email,
            "password": demo.password,
            "organizationId": demo.organization_id,
            "apiKey": demo.api_key,
        },
    }


def _greeting(home: Home, addresses: Addresses, demo: Demo, *, seconds: float) -> str:
    lines: Sequence[tuple[str, str]] = (
        ("API", addresses.api),
        ("Reference", f"{addresses.api}/docs"),
        ("Sandbox network", addresses.sandbox),
        ("Mails", f"{addresses.api}{MAIL_PAGE}"),
        ("Demo login", f"{demo.email} / {demo.password}"),
        ("Data, logs", str(home.path)),
    )
    shown = "\n".join(f"  {name:<16} {value}" for name, value in lines)
    return f"Roost is ready ({seconds:.1f} s): PostgreSQL, queues, schedules, object storage, mail, functions, sandbox.\n{shown}\nCtrl-C stops it."
