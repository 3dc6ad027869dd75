"""The stand-in for AWS's services: moto inside this process, with the state that it would lose kept in the runtime's home.

Functions reach it over HTTP at `AWS_ENDPOINT_URL`; the runtime itself uses moto's back ends directly, through subclasses
that notify it of every new message and schedule, so nothing is ever polled. Key material and secrets survive a
restart, because channels' tokens and members' sessions depend on them. Queues and schedules are hints and do not survive.
"""

import base64
import heapq
import io
import json
import logging
import re
import secrets
import socket
import string
import threading
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from moto.kms.models import KmsBackend, kms_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.scheduler import models as moto_scheduler
from moto.scheduler.models import (
    EventBridgeSchedulerBackend,
    Schedule,
    ScheduleGroup,
    scheduler_backends,
)
from moto.secretsmanager.models import SecretsManagerBackend, secretsmanager_backends
from moto.ses.models import ses_backends
from moto.sqs import models as moto_sqs
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends
from werkzeug.serving import make_server

from local.home import write_private
from local.intrinsics import TemplateRefused
from local.mailbox import Mailbox
from local.system import ACCOUNT, REGION, QueueSpec, SecretSpec, System, TimerSpec, secret_arn
from shared.core import clock

_DYNAMIC_REFERENCE = re.compile(r"\{\{resolve:secretsmanager:(.+?)\}\}")
_SETTLE_MS = 1.0  # moto calls a message visible strictly after its time


def _unix_time() -> float:
    """Return the clock's time in seconds since 1970."""
    return clock.now().timestamp()


def _unix_time_ms() -> float:
    return clock.now().timestamp() * 1000


_OUR_TIME = {"unix_time": _unix_time, "unix_time_millis": _unix_time_ms}
for _module in (moto_sqs, moto_scheduler):  # moto's own functions read the machine's clock
    for _name in _OUR_TIME.keys() & vars(_module).keys():
        setattr(_module, _name, _OUR_TIME[_name])


def _due_ms(message: Message) -> float:
    return max(message.visible_at, message.delayed_until) + _SETTLE_MS


class WatchedQueue(Queue):
    """A queue that knows when its next message is due. Safe to use from several threads."""

    visibility_timeout: int  # moto sets it from the attributes, by a name made at run time

    def __init__(self, name: str, attributes: Mapping[str, Any]) -> None:
        self._due_at_ms: list[float] = []
        self._watchers: list[Callable[[], object]] = []
        super().__init__(name, region=REGION, account_id=ACCOUNT, **attributes)

    def watch(self, call: Callable[[], object]) -> None:
        """Have `call` called, on any thread, when a message is added or its visibility changes."""
        self._watchers.append(call)

    def next_due_ms(self) -> float | None:
        """Return when a message can next be received, in Unix milliseconds; None if there is none."""
        with self._messages_lock:
            return self._due_at_ms[0] if self._due_at_ms else None

    def first_due_ms(self) -> float | None:
        """Like `next_due_ms`, but ignores messages deleted in the meantime; reads every message."""
        with self._messages_lock:
            return min(map(_due_ms, self._messages), default=None)

    def receive(self, count: int) -> list[Message]:
        """Receive up to `count` due messages; those received too often go to the dead-letter queue."""
        now = _unix_time_ms()
        with self._messages_lock:
            while self._due_at_ms and self._due_at_ms[0] <= now:
                heapq.heappop(self._due_at_ms)
            backend = sqs_backends[ACCOUNT][REGION]
            found: list[Message] = SQSBackend.receive_message(
                backend, self.name, count, 0, self.visibility_timeout, ["All"]
            )
            for message in found:
                self._expect(message)
            if len(found) == count:
                heapq.heappush(self._due_at_ms, now)  # there may be more
            return found

    def expect_soon(self) -> None:
        """Look again at once, because a message's visibility was changed."""
        with self._messages_lock:
            for message in self._messages:
                self._expect(message)
        self._tell()

    def add_message(self, message: Message) -> None:
        """Add a message."""
        super().add_message(message)
        with self._messages_lock:
            self._expect(message)
        self._tell()

    def delete_message(self, receipt_handle: str) -> None:
        """Delete a message under the lock: moto rebuilds its list and would lose a message added at the same time."""
        with self._messages_lock:
            super().delete_message(receipt_handle)

    @property
    def messages(self) -> list[Message]:
        """The messages that can be received now. Reads the clock once instead of twice for every message."""
        now = _unix_time_ms()
        return [
            message
            for message in self._messages
            if message.visible_at < now and message.delayed_until <= now
        ]

    def is_created(self) -> bool:
        """True: moto asks this of every resource before CloudFormation continues."""
        return True

    def _expect(self, message: Message) -> None:
        heapq.heappush(self._due_at_ms, _due_ms(message))

    def _tell(self) -> None:
        for call in self._watchers:
            call()


_TRACE_HEADER = "AWSTraceHeader"
# The trace header of the current request; each request has its own thread.
_trace: ContextVar[str] = ContextVar("trace", default="")


def trace_header(message: Message) -> str:
    """Return the trace header that a message was sent with; empty if there was none."""
    return str((message.system_attributes or {}).get(_TRACE_HEADER, {}).get("StringValue", ""))


class WatchedQueues(SQSBackend):
    """SQS in which a change of a message's visibility wakes its consumer."""

    # moto finds a service's paths by the module of its back end's class.
    __module__ = SQSBackend.__module__

    def send_message(
        self, queue_name: str, message_body: str, *args: Any, **kwargs: Any
    ) -> Message:
        """Add a message with the trace header of the request that sends it."""
        if _trace.get() and not kwargs.get("system_attributes"):
            value = {"DataType": "String", "StringValue": _trace.get()}
            kwargs["system_attributes"] = {_TRACE_HEADER: value}
        return super().send_message(queue_name, message_body, *args, **kwargs)

    def change_message_visibility(
        self, queue_name: str, receipt_handle: str, visibility_timeout: int
    ) -> None:
        """Change it."""
        super().change_message_visibility(queue_name, receipt_handle, visibility_timeout)
        queue = self.get_queue(queue_name)
        if isinstance(queue, WatchedQueue):
            queue.expect_soon()


class WatchedScheduler(EventBridgeSchedulerBackend):
    """Scheduler that reports every schedule that is created or changed."""

    __module__ = EventBridgeSchedulerBackend.__module__

    watcher: Callable[[Schedule], object] | None = None

    def create_schedule(self, *args: Any, **kwargs: Any) -> Schedule:
        """Create a schedule."""
        return self._announced(super().create_schedule(*args, **kwargs))

    def update_schedule(self, *args: Any, **kwargs: Any) -> Schedule:
        """Replace a schedule's contents. A state that is left out resets to the default, which moto overlooks."""
        schedule = super().update_schedule(*args, **kwargs)
        schedule.state = schedule.state or "ENABLED"
        return self._announced(schedule)

    def _announced(self, schedule: Schedule) -> Schedule:
        if self.watcher:
            self.watcher(schedule)
        return schedule


class _KeptSecrets(SecretsManagerBackend):
    """Secrets Manager that writes each secret's current text to a file that only its owner can read."""

    __module__ = SecretsManagerBackend.__module__

    file: Path | None = None

    def put_secret_value(self, *args: Any, **kwargs: Any) -> Any:
        result = super().put_secret_value(*args, **kwargs)
        self.keep()
        return result

    def update_secret(self, *args: Any, **kwargs: Any) -> Any:
        result = super().update_secret(*args, **kwargs)
        self.keep()
        return result

    def restore(self, specs: Iterable[SecretSpec]) -> None:
        """Create the template's secrets, with their kept values if there are any."""
        assert self.file is not None
        kept: dict[str, str] = json.loads(self.file.read_text()) if self.file.exists() else {}
        for spec in specs:
            text = kept.get(spec.name) or self._first_text(spec)
            self.create_secret(
                spec.name, text, None, None, None, None, None, [], force_overwrite=False
            )
            # The ARN must be the one that functions were given when the template was read.
            self.secrets[spec.name].arn = secret_arn(spec.name)
        self.keep()

    def keep(self) -> None:
        assert self.file is not None
        texts = {
            name: secret.versions[secret.default_version_id]["secret_string"]
            for name, secret in self.secrets.items()
            if secret.default_version_id
        }
        write_private(self.file, json.dumps(texts, indent=2))

    def _first_text(self, spec: SecretSpec) -> str:
        if spec.generate is None:
            return _DYNAMIC_REFERENCE.sub(self._referred, spec.text or "")
        return self._generated(spec.generate)

    def _generated(self, wanted: Mapping[str, Any]) -> str:
        known = {
            "ExcludeCharacters", "ExcludeLowercase", "ExcludeNumbers", "ExcludePunctuation", "ExcludeUppercase", "GenerateStringKey",
            "IncludeSpace", "PasswordLength", "RequireEachIncludedType", "SecretStringTemplate",
        }  # fmt: skip
        if unknown := sorted(set(wanted) - known):
            raise TemplateRefused(
                f"GenerateSecretString.{unknown[0]}: the local runtime does not know this property"
            )
        alphabet = _alphabet(wanted)
        password = "".join(
            secrets.choice(alphabet) for _ in range(int(wanted.get("PasswordLength", 32)))
        )
        if "SecretStringTemplate" not in wanted:
            return password
        return json.dumps(
            {**json.loads(wanted["SecretStringTemplate"]), wanted["GenerateStringKey"]: password}
        )

    def _referred(self, match: re.Match[str]) -> str:
        """Resolve `{{resolve:secretsmanager:id}}`, with or without a following `:SecretString:key`."""
        parts = match.group(1).split(":")
        id_length = 7 if parts[0] == "arn" else 1
        name, rest = ":".join(parts[:id_length]), parts[id_length:]
        text = str(self.get_secret_value(name, "", "")["SecretString"])
        return str(json.loads(text)[rest[1]]) if len(rest) > 1 and rest[1] else text


class LocalAws:
    """Queues, schedules, secrets, keys and email of one system."""

    def __init__(self, home: Path, mailbox: Mailbox) -> None:
        """Listen on a free loopback port. Requests are answered after `create`."""
        self._home = home
        self._mailbox = mailbox
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.queues = WatchedQueues(REGION, ACCOUNT)
        self.scheduler = WatchedScheduler(REGION, ACCOUNT)
        self._secrets = _KeptSecrets(REGION, ACCOUNT)
        self._secrets.file = home / "secrets.json"
        self._keys = KmsBackend(REGION, ACCOUNT)
        sqs_backends[ACCOUNT][REGION] = self.queues
        scheduler_backends[ACCOUNT][REGION] = self.scheduler
        secretsmanager_backends[ACCOUNT][REGION] = self._secrets
        kms_backends[ACCOUNT][REGION] = self._keys
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server(
            "127.0.0.1",
            0,
            self._answer,
            threaded=True,
            request_handler=_RequestHandler,
            fd=self._listener.fileno(),
        )
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._thread = threading.Thread(target=self._server.serve_forever, name="aws", daemon=True)

    def create(self, system: System) -> None:
        """Create the template's resources, restore the kept ones, and start to answer requests."""
        for queue in sorted(
            system.queues, key=lambda one: "RedrivePolicy" in one.attributes
        ):  # dead-letter queues first
            self.queues.queues[queue.name] = WatchedQueue(queue.name, _queue_attributes(queue))
        for group in system.schedule_groups:
            self.scheduler.schedule_groups[group] = ScheduleGroup(REGION, ACCOUNT, group)
        for timer in system.timers:
            self._create_timer(timer)
        self._restore_keys(system)
        self._secrets.restore(system.secrets)
        for identity in system.mail_identities:
            ses_backends[ACCOUNT][REGION].verify_domain(identity)
        self._thread.start()

    def put_secret(self, name: str, values: Mapping[str, str]) -> None:
        """Store `values` as the secret's text, a JSON object."""
        self._secrets.put_secret_value(name, json.dumps(dict(values)), "", "", ["AWSCURRENT"])

    def add_to_secret(self, name: str, values: Mapping[str, str]) -> None:
        """Add values to the secret's JSON object under the names that it lacks."""
        held = json.loads(self._secrets.get_secret_value(name, "", "")["SecretString"])
        if not values.keys() <= held.keys():
            self.put_secret(name, {**values, **held})

    @property
    def has_ended(self) -> bool:
        """True if it started and has stopped answering."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def queue(self, arn: str) -> WatchedQueue:
        """Find a queue by its ARN.

        Raises:
            KeyError: no queue has this ARN.
        """
        queue = self.queues.queues[arn.rsplit(":", 1)[-1]]
        assert isinstance(queue, WatchedQueue)
        return queue

    def close(self) -> None:
        """Stop answering requests."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._listener.close()

    def _create_timer(self, timer: TimerSpec) -> None:
        target: dict[str, Any] = {
            "Arn": timer.target_arn,
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/local",
            "RetryPolicy": {
                "MaximumRetryAttempts": timer.max_attempts,
                "MaximumEventAgeInSeconds": timer.max_age_seconds,
            },
        }
        if timer.input is not None:
            target["Input"] = timer.input
        if timer.dead_letter_arn is not None:
            target["DeadLetterConfig"] = {"Arn": timer.dead_letter_arn}
        self.scheduler.create_schedule(
            description=None,
            end_date=None,
            flexible_time_window={"Mode": "OFF"},
            group_name=timer.group,
            kms_key_arn=None,
            name=timer.name,
            schedule_expression=timer.expression,
            schedule_expression_timezone=timer.timezone,
            start_date=None,
            state="ENABLED",
            target=target,
            action_after_completion="NONE",
        )

    def _restore_keys(self, system: System) -> None:
        """Restore each key's material, so that what was encrypted with it can be decrypted again."""
        file = self._home / "keys.json"
        kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        for key_id in system.key_ids:
            key = self._keys.create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "", None)
            del self._keys.keys[key.id]
            key.id, key.arn = key_id, f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}"
            if key_id in kept:
                key.key_material = base64.b64decode(kept[key_id])
            self._keys.keys[key_id] = key
        for alias, target in system.key_aliases.items():
            self._keys.create_alias(target, alias)
        material = {
            key_id: base64.b64encode(key.key_material).decode()
            for key_id, key in self._keys.keys.items()
        }
        write_private(file, json.dumps({**kept, **material}, indent=2))

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request. An email is also put into the mailbox, because moto drops the text of an email that has HTML."""
        _trace.set(unquote(environ.get("HTTP_X_AMZN_TRACE_ID", "")))
        if environ.get("PATH_INFO") != "/v2/email/outbound-emails":
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = _Replayed(body)
        statuses: list[str] = []

        def remember(status: str, *rest: Any) -> Any:
            statuses.append(status)
            return start_response(status, *rest)

        answer = b"".join(self._moto(environ, remember))
        if statuses[-1].startswith("200"):
            self._mailbox.keep(json.loads(body))
        return [answer]


class _RequestHandler(MotoRequestHandler):
    """Keeps connections open and sends small answers without delay."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Format the time for the answer's `Date` header."""
        return super().date_time_string(_unix_time() if timestamp is None else timestamp)


class _Replayed:
    """A request body that has already been read."""

    def __init__(self, body: bytes) -> None:
        self._stream = io.BytesIO(body)
        self.read, self.readline = self._stream.read, self._stream.readline


def _queue_attributes(queue: QueueSpec) -> dict[str, Any]:
    return {
        key: json.dumps(value) if isinstance(value, dict) else value
        for key, value in queue.attributes.items()
    }


def _alphabet(wanted: Mapping[str, Any]) -> str:
    kinds = {
        "ExcludeLowercase": string.ascii_lowercase,
        "ExcludeUppercase": string.ascii_uppercase,
        "ExcludeNumbers": string.digits,
        "ExcludePunctuation": string.punctuation,
    }
    characters = "".join(letters for key, letters in kinds.items() if not wanted.get(key))
    characters += " " if wanted.get("IncludeSpace") else ""
    return "".join(
        letter for letter in characters if letter not in wanted.get("ExcludeCharacters", "")
    )
