"""A step of every deployment: brings the schema to the code's, as a custom resource of the stack or invoked with `{}`.

Invoked with `{"superAdmin": address}` it makes an account a super admin, so the first account needs no mail.
"""

import functools
import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import httpx
import pg8000
from botocore.exceptions import BotoCoreError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from shared.aws.secrets import secret
from shared.core.config import settings
from shared.core.log import log
from shared.db import migrate
from shared.db.invocations import closes_connections
from shared.db.roles import limit_own_role, prepare_role
from shared.db.session import Login, connect
from shared.db.wire import WireConnection
from shared.identity.errors import unknown_address
from shared.identity.queries import make_super_admin

T = TypeVar("T")

# Kept back from the function's own time, so that CloudFormation learns of a failure instead of waiting an hour.
_RESERVE = timedelta(seconds=45)
_ANSWER_TIMEOUT_SECONDS = 10.0
_ANSWER_TRIES = 3
# A new stage's way out, name resolution and database may take minutes after CloudFormation calls them complete.
_PAUSE_SECONDS = 10.0
_NOT_YET = (BotoCoreError, InterfaceError, OperationalError, pg8000.InterfaceError)
_MAX_REASON = 800  # CloudFormation reads 4 KB in all


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Migrate. To CloudFormation, which waits for a message at `ResponseURL`, success and failure are both told.

    Deleting the stack's resource deletes nothing: the data outlive the stack in the cluster's last snapshot.
    """
    longest = timedelta(milliseconds=context.get_remaining_time_in_millis()) - _RESERVE
    if "superAdmin" in event:
        return _make_super_admin(str(event["superAdmin"]))
    if "ResponseURL" not in event:
        return {"revision": _migrate(longest)}
    try:
        if event["RequestType"] != "Delete":
            _patiently(lambda: _migrate(longest), until=time.monotonic() + longest.total_seconds())
    except Exception as error:  # noqa: BLE001  whatever it is, CloudFormation must learn of it; raised, it would be run again
        log.exception("schema.failed")
        _answer(event, context, "FAILED", f"{type(error).__name__}: {error}")
    else:
        _answer(event, context, "SUCCESS", "")
    return {}


def _patiently(work: Callable[[], T], *, until: float) -> T:
    """Do `work`, again and again while what it needs cannot be reached; `until` is a `time.monotonic()` value.

    Only a failure to connect is repeated: one inside a revision is a mistake that time does not fix.
    """
    while True:
        try:
            return work()
        except _NOT_YET as error:
            if _has_connected(error) or time.monotonic() + _PAUSE_SECONDS > until:
                raise
            log.warning("deployment.waits", extra={"reason": f"{type(error).__name__}: {error}"})
            time.sleep(_PAUSE_SECONDS)


def _has_connected(error: Exception) -> bool:
    """Return whether a statement was under way, so that the database was there."""
    return getattr(error, "statement", None) is not None


def _make_super_admin(email: str) -> dict[str, Any]:
    """Activate the account with this address and make it a super admin.

    There is no second factor yet; once there is, it is asked for before somebody becomes an operator.
    """
    login = _administrator()
    with (
        migrate.migrating(functools.partial(_connect, login)) as connection,
        Session(connection) as session,
    ):
        user_id = make_super_admin(session, email.strip().lower())
        session.commit()
    if user_id is None:
        return {"refused": unknown_address(email)}
    log.info("user.made_super_admin", extra={"user_id": user_id})
    return {"superAdmin": str(user_id)}


def _migrate(longest: timedelta) -> str | None:
    """Bring the schema to the newest revision and the functions' role to what it needs; the revision."""
    login = _administrator()
    with migrate.migrating(functools.partial(_connect, login), longest=longest) as connection:
        migrate.upgrade(connection)
        if login:
            prepare_role(connection, settings().database_user)
        else:
            limit_own_role(connection)
        return migrate.current(connection)


def _administrator() -> Login | None:
    """Return the cluster's administrator; `None` where one role does everything, as on a laptop."""
    name = settings().database_admin_secret_name
    if not name:
        return None
    known = secret(name)
    return Login(known["username"], known["password"])


def _connect(login: Login | None, longest: timedelta) -> WireConnection:
    return connect(login=login, answer_within=longest, most_prepared=0)


def _answer(event: Mapping[str, Any], context: Any, status: str, reason: str) -> None:
    """Tell CloudFormation how it went.

    Source: docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html, read 2026-11.
    """
    answer = {
        "Status": status,
        "Reason": reason[:_MAX_REASON] or f"See {context.log_stream_name}",
        "PhysicalResourceId": event.get("PhysicalResourceId", "schema"),
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    # Not escaped: six bytes for a letter beyond ASCII would be more than CloudFormation reads.
    body = json.dumps(answer, ensure_ascii=False).encode(errors="replace")
    for attempt in range(_ANSWER_TRIES):
        try:
            # The URL is signed for a request without a content type.
            sent = httpx.put(event["ResponseURL"], content=body, timeout=_ANSWER_TIMEOUT_SECONDS)
        except httpx.TransportError:
            log.warning("deployment.answer_lost", extra={"attempt": attempt})
            continue
        if sent.is_success:
            return
        log.warning(
            "deployment.answer_refused", extra={"attempt": attempt, "status": sent.status_code}
        )
    raise DeploymentNotAnswered("CloudFormation could not be told how the migration ended.")


class DeploymentNotAnswered(Exception):
    """CloudFormation was not reached; it gives up when the resource's `ServiceTimeout` is over."""
