"""Migrates the schema in every deployment, as a custom resource of the stack or invoked with `{}`, and completes the secrets.

Once a day, a schedule invokes it with `{"maintain": true}` to keep the partitions of tables, because it logs in as their owner.
Invoked with `{"superAdmin": address}`, it makes an account a super admin, so the first account needs no email. Invoked with
`{"reseal": {}}`, it seals all stored secrets again; if its time ends before, the answer says where to go on.
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
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from shared.aws.keys import open_sealed, seal
from shared.aws.secrets import secret
from shared.billing.queries import GIVE_EXISTING
from shared.core import clock
from shared.core.config import settings
from shared.core.log import log
from shared.db import migrate
from shared.db.invocations import closes_connections
from shared.db.reseal import Position, reseal
from shared.db.roles import limit_own_role, prepare_role
from shared.db.session import Login, connect
from shared.db.wire import WireConnection
from shared.identity.errors import unknown_address
from shared.identity.passwords import add_first_pepper
from shared.identity.queries import make_super_admin

T = TypeVar("T")

# Reserved from the function's timeout, so that CloudFormation is notified of a failure instead of waiting an hour.
_RESERVE = timedelta(seconds=45)
_ANSWER_TIMEOUT_SECONDS = 10.0
_ANSWER_TRIES = 3
# A new environment's network, name resolution and database can take minutes after CloudFormation reports them complete.
_PAUSE_SECONDS = 10.0
_NOT_YET = (BotoCoreError, InterfaceError, OperationalError, pg8000.InterfaceError)
_MAX_REASON = 800  # CloudFormation reads at most 4 KB


@closes_connections
@log.inject_lambda_context(clear_state=True)
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Migrate, and report success or failure to CloudFormation, which waits for a message at `ResponseURL`.

    Deleting the stack's resource deletes no data; it stays in the cluster's last snapshot.
    """
    longest = timedelta(milliseconds=context.get_remaining_time_in_millis()) - _RESERVE
    if "superAdmin" in event:
        return _make_super_admin(str(event["superAdmin"]))
    if "maintain" in event:
        return _maintain(longest)
    if "reseal" in event:
        return _reseal(event["reseal"], longest)
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
    """Do `work`, and retry while it cannot connect; `until` is a `time.monotonic()` value.

    Only a failure to connect is retried, because an error in a revision would only happen again.
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
    """Return whether a statement had started, so the database was reachable."""
    return getattr(error, "statement", None) is not None


def _make_super_admin(email: str) -> dict[str, Any]:
    """Activate the account with this address and make it a super admin.

    There is no second factor yet. Once there is, it is required before somebody becomes an operator.
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


def _reseal(start: Mapping[str, str], longest: timedelta) -> dict[str, Any]:
    """Seal all stored secrets again, from the position of an earlier answer on."""
    until = time.monotonic() + longest.total_seconds()
    login = _administrator()
    with migrate.migrating(functools.partial(_connect, login), longest=longest) as connection:
        done = reseal(
            connection,
            seal=seal,
            open_sealed=open_sealed,
            start=Position(start["column"], start["after"]) if start else None,
            until=until,
        )
    return {
        "sealed": done.sealed,
        "replacedMeanwhile": done.replaced_meanwhile,
        "unreadable": done.unreadable,
        "next": done.position._asdict() if done.position else None,
    }


def _migrate(longest: timedelta) -> str | None:
    """Migrate the schema to the newest revision, grant the functions' role its permissions, and return the revision.

    An application's secret from before passwords had a pepper gets one, before the functions that use it are deployed.
    """
    login = _administrator()
    with migrate.migrating(functools.partial(_connect, login), longest=longest) as connection:
        migrate.upgrade(connection)
        _keep_partitions(connection)
        if add_first_pepper():
            log.info("secret.completed", extra={"added": "passwordPepper"})
        if login:
            prepare_role(connection, settings().database_user)
        else:
            limit_own_role(connection)
        if settings().billing:
            _give_existing(connection)
        return migrate.current(connection)


def _give_existing(connection: Connection) -> None:
    """Give every organization from before plans the largest plan, the first time that plans bind."""
    given = GIVE_EXISTING.one(connection).organizations
    connection.commit()
    if given:
        log.info("billing.plans_given", extra={"organizations": given})


def _maintain(longest: timedelta) -> dict[str, Any]:
    login = _administrator()
    with migrate.migrating(functools.partial(_connect, login), longest=longest) as connection:
        _keep_partitions(connection)
    return {"maintained": True}


def _keep_partitions(connection: Connection) -> None:
    migrate.maintain(connection, now=clock.now(), keep=timedelta(days=settings().audit_days))


def _administrator() -> Login | None:
    """Return the cluster's administrator; `None` if one role does everything, as on a laptop."""
    name = settings().database_admin_secret_name
    if not name:
        return None
    known = secret(name)
    return Login(known["username"], known["password"])


def _connect(login: Login | None, longest: timedelta) -> WireConnection:
    return connect(login=login, answer_within=longest, most_prepared=0)


def _answer(event: Mapping[str, Any], context: Any, status: str, reason: str) -> None:
    """Report the result to CloudFormation.

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
    # Not escaped: six bytes for each non-ASCII letter could exceed what CloudFormation reads.
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
    raise DeploymentNotAnswered(
        "The result of the migration could not be reported to CloudFormation."
    )


class DeploymentNotAnswered(Exception):
    """CloudFormation could not be reached; it fails when the resource's `ServiceTimeout` ends."""
