"""What each statement of publishing changes, and each condition that keeps it from changing anything.

Three threads are alike: the one that a statement names, one beside it in the channel, and one of another organization. Every
column has a value that the statement would not leave, so the columns that it sets are exactly those that differ afterwards.
A sweep names no thread; only the first one is there for it, then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.channels.models import Channel
from shared.core.ids import new_id
from shared.db.statement import Statement
from shared.notifications.models import Notification, NotificationKind
from shared.posts.hints import MARK_ARMED
from shared.posts.lifecycle import PostState
from shared.posts.models import Post
from shared.publishing import (
    claim_queries,
    late_queries,
    prepare_queries,
    record_queries,
    stage_queries,
    stuck,
    sweep_queries,
)
from shared.publishing.claim_queries import PartRow
from shared.publishing.models import Attempt, AttemptState, Staging, StagingState
from tests.builders import a_channel, a_post, an_organization

PICTURE = "jsonb_build_array(jsonb_build_object('id', '0198f0b2-0000-7000-8000-000000000001'))"
ATTEMPT = (
    "revision = 3, generation = 2, step = 5, progress = '{\"old\": 1}', error_code = 'old', error_message = 'old',"
    " lease_until = now() + interval '1 minute', sending_at = now() - interval '9 seconds',"
    " resume_at = now() + interval '1 hour'"
)
POST = (
    "revision = 3, generation = 2, arm_count = 4, armed_revision = 2, delay_seconds = 60, error_code = 'old',"
    " error_message = 'old', enqueued_at = now() - interval '1 hour', next_check_at = now() - interval '1 hour',"
    " updated_at = now() - interval '1 hour'"
)
STAGING = (
    "revision = 3, generation = 2, step = 5, tries = 2, progress = '{\"old\": 1}', error_code = 'old', error_message = 'old',"
    " lease_until = now() + interval '1 minute', updated_at = now() - interval '1 hour',"
    " resume_at = now() + interval '1 hour', expires_at = now() + interval '1 hour'"
)
DEFAULTS = {"posts": POST, "attempts": ATTEMPT, "stagings": STAGING}
TABLES = {"root": "posts", "reply": "posts", "last": "posts", "attempt": "attempts", "staging": "stagings"}  # fmt: skip
ALL_ROWS = text(
    " union all ".join(
        f"select '{table}' as kind, id, to_jsonb(t) as columns from {table} t"
        for table in ("posts", "attempts", "stagings")
    )
)


class Part(NamedTuple):
    """One of the rows of a thread, as `root: state = 'draft'` names it."""

    root: Post
    reply: Post
    last: Post
    attempt: Attempt
    staging: Staging


@dataclass(frozen=True)
class Case:
    """A statement with rows that meet its conditions.

    `given` are columns of the rows, beside those above; "no attempt" and "no staging" leave that row out. `changes` are the
    columns that differ afterwards, by row; `new` says that it adds a row of that table. `unless` are columns that keep the
    statement from its work; if other rows are still changed, they are named. `found` is the number of rows that it returns.
    """

    statement: Statement[Any, Any]
    params: Callable[[Part], Mapping[str, Any]]
    given: tuple[str, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict)
    unless: tuple[str | tuple[str, str], ...] = ()
    found: int | None = None
    new: str = ""
    alone: bool = False
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.statement.name


HELD = (
    "attempt: step = 6",
    "attempt: state = 'waiting'",
    "attempt: lease_until = now()",
)
RUNNING = ("root: state = 'publishing'", "attempt: state = 'running'")
QUEUED = ("root: state = 'queued'", "root: due_at = now() - interval '1 minute'")


def held(part: Part) -> dict[str, Any]:
    return {"attempt_id": part.attempt.id, "step": 5}


def named(part: Part) -> dict[str, Any]:
    return {"part_id": part.root.id, "revision": 3}


def release(part: Part) -> dict[str, Any]:
    return {
        "release_id": "new",
        "release_url": "https://a.example",
        "release_data": '{"new": 1}',
        "attempt_id": part.attempt.id,
    }


def an_end(part: Part) -> dict[str, Any]:
    return {
        **held(part),
        "error_code": "new",
        "error_message": "new",
        "evidence": '{"new": 1}',
    }


def claim(part: Part) -> dict[str, Any]:
    return {
        **named(part),
        "max_late_seconds": 86_400.0,
        "most_per_organization": 5,
        "most_per_host": 5,
        "crowded_message": "",
        "attempt_id": new_id(),
        "lease_seconds": 600.0,
    }


def staged(part: Part) -> dict[str, Any]:
    return {
        "staging_id": part.staging.id,
        "step": 5,
        "state": "waiting",
        "progress": '{"new": 1}',
        "after_seconds": 5.0,
        "lease_seconds": 600.0,
        "expires_at": None,
        "progressed": True,
        "error_code": "new",
        "error_message": "new",
    }


def known_releases(part: Part) -> dict[str, Any]:
    return {
        "provider": "mastodon",
        "remote_id": "1",
        "part_id": part.reply.id,
        "release_ids": ["known"],
    }


def page(_part: Part) -> dict[str, Any]:
    return {"page_size": 10}


OF_A_NEW_ROUND = "armed_revision enqueued_at due_at updated_at"
OF_A_FAILURE = "state due_at error_code error_message updated_at"
OF_AN_END = "state finished_at error_code error_message evidence"
OF_A_RELEASE = "release_id release_url release_data"
CLAIMABLE = (
    "root: revision = 4",
    "root: state = 'draft'",
    "root: deleted_at = now()",
    "root: due_at = null",
)
TO_STAGE = ("root: state = 'queued'", f"root: media = {PICTURE}")
UNARMED = (
    "root: state = 'queued'",
    "root: due_at = now() + interval '1 hour'",
    "root: armed_revision = null",
    "root: updated_at = now() - interval '61 seconds'",
)

WRITES = [
    Case(
        claim_queries.CLAIM,
        claim,
        given=(*QUEUED, "no attempt"),
        changes={"root": "state error_code error_message next_check_at"},
        new="attempts",
        unless=CLAIMABLE,
        found=1,
    ),
    Case(
        claim_queries.RESUME,
        lambda part: {
            **held(part),
            "most_per_organization": 5,
            "most_per_host": 5,
            "lease_seconds": 600.0,
        },
        given=("root: state = 'publishing'", "attempt: state = 'waiting', resume_at = now()"),
        changes={"attempt": "state step resume_at lease_until"},
        unless=(
            "attempt: step = 6",
            "attempt: state = 'running'",
            "attempt: resume_at = now() + interval '1 millisecond'",
        ),
        found=1,
    ),
    Case(
        claim_queries.MARK_SENDING,
        held,
        given=RUNNING,
        changes={"attempt": "state sending_at"},
        unless=HELD,
        found=1,
    ),
    Case(
        record_queries.RECORD_RELEASED,
        lambda part: {
            **held(part),
            **release(part),
            "notification_id": new_id(),
            "notification_customer_id": None,
            "notification_title": "",
            "notification_content": "",
            "notification_link": None,
            "notification_dedupe_key": None,
        },
        given=(
            *RUNNING,
            "root: due_at = now()",
            "reply: state = 'queued'",
            "last: state = 'queued'",
        ),
        changes={
            "attempt": f"state finished_at {OF_A_RELEASE} resume_at progress error_code error_message",
            "root": f"state published_at due_at {OF_A_RELEASE} error_code error_message next_check_at updated_at",
            "reply": OF_A_NEW_ROUND,
        },
        unless=(
            *HELD,
            ("root: state = 'queued'", "attempt"),
            ("reply: state = 'draft'", "attempt root"),
            ("reply: deleted_at = now()", "attempt root"),
        ),
        found=1,
    ),
    Case(
        record_queries.RECORD_WAITING,
        lambda part: {
            **an_end(part),
            "progress": '{"new": 1}',
            "after_seconds": 5.0,
            "accepted": True,
            "unknown": True,
        },
        given=RUNNING,
        changes={
            "attempt": "state progress resume_at lease_until accepted sending_at doubt_since"
            " error_code error_message evidence"
        },
        unless=HELD,
        found=1,
    ),
    Case(
        record_queries.RECORD_RETRY,
        lambda part: {**an_end(part), "counts": False, "after_seconds": 5.0},
        given=RUNNING,
        changes={
            "attempt": f"{OF_AN_END} counts sending_at",
            "root": f"state arm_count next_check_at error_code error_message {OF_A_NEW_ROUND}",
        },
        unless=(*HELD, ("root: state = 'failed'", "attempt")),
        found=1,
    ),
    *(
        Case(
            statement,
            an_end,
            given=(*RUNNING, "root: due_at = now()"),
            changes={"attempt": OF_AN_END, "root": OF_A_FAILURE},
            unless=(*HELD, ("root: state = 'queued'", "attempt")),
            found=1,
        )
        for statement in (record_queries.RECORD_FAILED, record_queries.RECORD_UNCONFIRMED)
    ),
    *(
        Case(
            statement,
            an_end,
            given=(
                *RUNNING,
                "root: due_at = now()",
                "attempt: doubt_since = now() - interval '1 hour', evidence = '{\"first\": 1}'",
            ),
            changes={
                "attempt": OF_AN_END.removesuffix(" evidence"),
                "root": OF_A_FAILURE,
            },
            found=1,
            name=f"{statement.name} keeps the evidence of a doubt",
        )
        for statement in (record_queries.RECORD_FAILED, record_queries.RECORD_UNCONFIRMED)
    ),
    Case(
        record_queries.FAIL_QUEUED,
        lambda part: {
            **named(part),
            "generation": 2,
            "error_code": "new",
            "error_message": "new",
        },
        given=QUEUED,
        changes={"root": OF_A_FAILURE},
        unless=("root: revision = 4", "root: generation = 3", "root: state = 'publishing'"),
        found=1,
    ),
    Case(
        record_queries.FAIL_SUCCESSORS,
        lambda part: {"root_id": part.root.id, "position": 0, "error_message": "new"},
        given=(
            "root: state = 'queued'",
            *(f"{part}: state = 'queued', due_at = now()" for part in ("reply", "last")),
        ),
        changes={"reply": OF_A_FAILURE, "last": OF_A_FAILURE},
        unless=(("reply: deleted_at = now()", "last"), ("last: state = 'draft'", "reply")),
    ),
    Case(
        record_queries.KEEP_LATE_RELEASE,
        release,
        given=("attempt: state = 'unknown', finished_at = now()",),
        changes={"attempt": OF_A_RELEASE},
        unless=("attempt: release_id = 'other'",),
    ),
    Case(
        prepare_queries.MARK_ENQUEUED,
        named,
        given=QUEUED,
        changes={"root": "enqueued_at"},
        unless=("root: revision = 4", "root: state = 'publishing'"),
    ),
    Case(
        prepare_queries.UNMARK_ENQUEUED,
        lambda part: {"ids": [part.root.id]},
        given=QUEUED,
        changes={"root": "enqueued_at"},
        unless=("root: state = 'publishing'",),
    ),
    Case(
        sweep_queries.LOOK_AGAIN_SOON,
        lambda part: {"ids": [part.root.id]},
        given=QUEUED,
        changes={"root": "next_check_at"},
        unless=("root: state = 'publishing'",),
    ),
    Case(
        MARK_ARMED,
        lambda part: {"ids": [part.root.id], "revisions": [3], "sent": True},
        given=QUEUED,
        changes={"root": "armed_revision enqueued_at"},
        unless=("root: revision = 4", "root: state = 'publishing'"),
    ),
    Case(
        stage_queries.CLAIM_STAGING,
        lambda part: {**named(part), "staging_id": new_id(), "lease_seconds": 600.0},
        given=(*TO_STAGE, "no staging"),
        new="stagings",
        unless=(
            "root: revision = 4",
            "root: state = 'draft'",
            "root: deleted_at = now()",
            "root: media = '[]'",
        ),
        found=1,
    ),
    *(
        Case(
            stage_queries.CLAIM_STAGING,
            lambda part: {**named(part), "staging_id": new_id(), "lease_seconds": 600.0},
            given=(*TO_STAGE, f"staging: state = '{state}', {moment} = now()"),
            changes={
                "staging": f"step tries resume_at lease_until updated_at expires_at {more}".strip()
            },
            unless=(f"staging: {moment} = now() + interval '1 millisecond'",),
            found=1,
            name=f"claim_staging of one that is {state}",
        )
        for state, moment, more in (
            ("running", "lease_until", ""),
            ("waiting", "resume_at", "state"),
            ("ready", "expires_at", "state progress"),
        )
    ),
    Case(
        stage_queries.RENEW_STAGING,
        lambda part: {"staging_id": part.staging.id, "step": 5, "lease_seconds": 600.0},
        changes={"staging": "lease_until updated_at"},
        unless=("staging: step = 6", "staging: state = 'waiting'"),
        found=1,
    ),
    Case(
        stage_queries.KEEP_STAGING,
        staged,
        changes={
            "staging": "state progress updated_at resume_at lease_until expires_at tries error_code error_message"
        },
        unless=("staging: step = 6", "staging: state = 'waiting'"),
        found=1,
    ),
]

SWEEPS = [
    Case(
        sweep_queries.TAKE_UNARMED,
        lambda part: {**page(part), "grace_seconds": 60.0},
        given=UNARMED,
        changes={"root": "arm_count next_check_at"},
        unless=(
            "root: state = 'publishing'",
            "root: deleted_at = now()",
            "root: due_at = null",
            "root: armed_revision = 3",
            "root: updated_at = now() - interval '60 seconds'",
            "root: next_check_at = now() + interval '1 millisecond'",
        ),
        found=1,
        alone=True,
    ),
    Case(
        sweep_queries.TAKE_UNARMED,
        lambda part: {**page(part), "grace_seconds": 60.0},
        given=(*UNARMED, "root: next_check_at = now()"),
        changes={"root": "arm_count next_check_at"},
        found=1,
        alone=True,
        name="take_unarmed at the moment of its check",
    ),
    Case(
        sweep_queries.TAKE_UNARMED,
        lambda part: {**page(part), "grace_seconds": 60.0},
        given=(*UNARMED, "root: next_check_at = null"),
        changes={"root": "arm_count next_check_at"},
        found=1,
        alone=True,
        name="take_unarmed without a check",
    ),
    *(
        Case(
            sweep_queries.TAKE_UNSENT,
            page,
            given=(
                f"root: state = 'queued', armed_revision = 3, enqueued_at = null, due_at = {due}",
            ),
            changes={"root": "enqueued_at"},
            unless=(
                "root: state = 'publishing'",
                "root: deleted_at = now()",
                "root: enqueued_at = now()",
                "root: armed_revision = 2",
                "root: due_at = now() + interval '180001 milliseconds'",
                "root: due_at = now() - interval '20 seconds'",
            ),
            found=1,
            alone=True,
            name=f"take_unsent at {due}",
        )
        for due in ("now() + interval '3 minutes'", "now() - interval '19999 milliseconds'")
    ),
    *(
        Case(
            sweep_queries.TAKE_OVERDUE,
            lambda part: {**page(part), "late_seconds": 300.0},
            given=(f"root: state = 'queued', {times}",),
            changes={"root": "enqueued_at next_check_at"},
            unless=(
                "root: state = 'publishing'",
                "root: deleted_at = now()",
                "root: due_at = null",
                "root: due_at = now() - interval '19999 milliseconds'",
                "root: next_check_at = now() - interval '19999 milliseconds'",
            ),
            found=1,
            alone=True,
            name=f"take_overdue with {times}",
        )
        for times in (
            "due_at = now() - interval '20 seconds', next_check_at = null",
            "due_at = now() - interval '1 hour', next_check_at = now() - interval '20 seconds'",
        )
    ),
    *(
        Case(
            sweep_queries.TAKE_LOST,
            page,
            given=(f"attempt: state = '{state}', lease_until = now()",),
            changes={"attempt": "lease_until step"},
            unless=(
                "attempt: state = 'waiting'",
                "attempt: lease_until = now() + interval '1 millisecond'",
            ),
            found=1,
            alone=True,
            name=f"take_lost of one that is {state}",
        )
        for state in ("running", "sending")
    ),
    Case(
        sweep_queries.TAKE_WAITING,
        page,
        given=(
            "attempt: state = 'waiting', lease_until = now(), resume_at = now() - interval '20 seconds'",
        ),
        changes={"attempt": "lease_until"},
        unless=(
            "attempt: state = 'running'",
            "attempt: lease_until = now() + interval '1 millisecond'",
            "attempt: resume_at = now() - interval '19999 milliseconds'",
        ),
        found=1,
        alone=True,
    ),
    *(
        Case(
            sweep_queries.TAKE_STAGINGS,
            page,
            given=(
                "root: state = 'queued'",
                f"staging: state = '{state}', lease_until = now()",
                at,
            ),
            changes={"staging": columns},
            unless=(
                "root: state = 'draft'",
                "root: deleted_at = now()",
                "root: revision = 4",
                "root: generation = 3",
                "staging: lease_until = now() + interval '1 millisecond'",
                early,
                "staging: state = 'ready'",
            ),
            found=1,
            alone=True,
            name=f"take_stagings of one that is {state}",
        )
        for state, at, early, columns in (
            (
                "running",
                "staging: updated_at = now() - interval '1 minute'",
                "staging: updated_at = now() - interval '59999 milliseconds'",
                "updated_at",
            ),
            (
                "waiting",
                "staging: resume_at = now() - interval '20 seconds'",
                "staging: resume_at = now() - interval '19999 milliseconds'",
                "updated_at lease_until",
            ),
        )
    ),
    Case(
        sweep_queries.ADOPT_LATE,
        page,
        given=(
            "root: state = 'unconfirmed', due_at = now()",
            "reply: state = 'queued'",
            "last: state = 'queued'",
            "attempt: state = 'unknown', finished_at = now(), release_id = 'late', release_url = 'https://a.example',"
            " release_data = '{\"late\": 1}'",
        ),
        changes={
            "attempt": "state",
            "root": f"state published_at due_at {OF_A_RELEASE} error_code error_message updated_at",
            "reply": f"next_check_at {OF_A_NEW_ROUND}",
        },
        unless=(
            "attempt: release_id = null",
            "attempt: state = 'released'",
            "attempt: state = 'running', finished_at = null",
            "attempt: generation = 1",
            "root: state = 'publishing'",
            "reply: release_id = 'late'",
            ("reply: state = 'draft'", "attempt root"),
            ("reply: deleted_at = now()", "attempt root"),
        ),
        found=1,
        alone=True,
    ),
    *(
        Case(
            stuck.TAKE_STUCK,
            lambda part: {**page(part), "missing": "missing", "failed": "new"},
            given=(
                "root: state = 'queued', publish_at = now() - interval '1 minute', due_at = null",
            ),
            changes={"root": f"arm_count next_check_at {OF_A_NEW_ROUND}"},
            unless=(
                "root: state = 'draft'",
                "root: deleted_at = now()",
                "root: due_at = now()",
                "root: publish_at = now() - interval '59999 milliseconds'",
            ),
            found=1,
            alone=True,
            name=name,
        )
        for name in ("take_stuck of a root",)
    ),
    Case(
        stuck.TAKE_STUCK,
        lambda part: {**page(part), "missing": "missing", "failed": "new"},
        given=(
            "root: state = 'failed', publish_at = now() - interval '1 hour'",
            "reply: state = 'queued', publish_at = now() - interval '1 hour'",
            "last: state = 'queued', publish_at = now() - interval '1 hour'",
        ),
        changes={
            "reply": "state error_code error_message updated_at",
            "last": "state error_code error_message updated_at",
        },
        unless=(
            ("last: deleted_at = now()", "reply"),
            ("last: state = 'published', published_at = now()", "reply"),
            ("last: due_at = now()", "reply"),
        ),
        found=2,
        alone=True,
        name="take_stuck after a failure",
    ),
    Case(
        late_queries.TAKE_LIMITED,
        lambda part: {**page(part), "late_seconds": 300.0},
        given=(
            "root: state = 'queued', error_code = 'rate_limited', told_generation = 1,"
            " publish_at = now() - interval '5 minutes', due_at = now() + interval '60001 milliseconds'",
        ),
        changes={"root": "told_generation"},
        unless=(
            "root: state = 'publishing'",
            "root: deleted_at = now()",
            "root: due_at = null",
            "root: error_code = 'crowded'",
            "root: told_generation = 2",
            "root: publish_at = now() - interval '299999 milliseconds'",
            "root: due_at = now() + interval '1 minute'",
        ),
        found=1,
        alone=True,
    ),
    Case(
        late_queries.TAKE_CROWDED,
        lambda part: {**page(part), "late_seconds": 300.0},
        given=(
            "root: state = 'queued', error_code = 'crowded', told_generation = 1,"
            " publish_at = now() - interval '5 minutes', due_at = now()",
        ),
        changes={"root": "told_generation"},
        unless=(
            "root: state = 'publishing'",
            "root: deleted_at = now()",
            "root: due_at = null",
            "root: error_code = 'rate_limited'",
            "root: told_generation = 2",
            "root: publish_at = now() - interval '299999 milliseconds'",
        ),
        found=1,
        alone=True,
    ),
]

READS = [
    Case(
        claim_queries.CLAIMED,
        lambda part: {"attempt_id": part.attempt.id},
        given=("root: state = 'publishing'", "attempt: state = 'running', step = 1"),
        unless=(
            "attempt: step = 2",
            "attempt: state = 'sending'",
            "attempt: lease_until = now()",
            "root: state = 'queued'",
        ),
        found=1,
    ),
    Case(
        claim_queries.RESUME_WAIT,
        held,
        given=("attempt: state = 'waiting'",),
        unless=("attempt: step = 6", "attempt: state = 'running'"),
        found=1,
    ),
    Case(
        prepare_queries.PREPARE,
        lambda part: {**named(part), "threshold_seconds": 300.0},
        given=QUEUED,
        unless=CLAIMABLE,
        found=1,
    ),
    Case(
        prepare_queries.WAITS,
        lambda part: {**named(part), "threshold_seconds": 60.0},
        given=(
            "attempt: state = 'waiting', resume_at = now() + interval '1 minute'",
            "staging: state = 'ready'",
        ),
        unless=(
            "attempt: revision = 4",
            "attempt: state = 'running'",
            "attempt: resume_at = now() + interval '60001 milliseconds'",
        ),
        found=1,
        name="waits of an attempt",
    ),
    Case(
        prepare_queries.WAITS,
        lambda part: {**named(part), "threshold_seconds": 60.0},
        given=(
            "no attempt",
            "root: state = 'queued'",
            "staging: state = 'waiting', resume_at = now() + interval '1 minute'",
        ),
        unless=(
            "root: revision = 4",
            "root: generation = 3",
            "root: state = 'draft'",
            "root: deleted_at = now()",
            "staging: revision = 4",
            "staging: state = 'running'",
            "staging: resume_at = now() + interval '60001 milliseconds'",
        ),
        found=1,
        name="waits of a staging",
    ),
    Case(
        record_queries.KNOWN_RELEASES,
        known_releases,
        given=("root: release_id = 'known'",),
        unless=("root: release_id = 'another'",),
        found=1,
        alone=True,
    ),
    Case(
        record_queries.KNOWN_RELEASES,
        lambda part: known_releases(part) | {"part_id": part.root.id},
        given=("root: release_id = 'known'",),
        found=0,
        alone=True,
        name="known_releases of the part itself",
    ),
    Case(
        record_queries.KNOWN_RELEASES,
        lambda part: known_releases(part) | {"provider": "x"},
        given=("root: release_id = 'known'",),
        found=0,
        alone=True,
        name="known_releases of another platform",
    ),
    Case(
        record_queries.KNOWN_RELEASES,
        lambda part: known_releases(part) | {"remote_id": "2"},
        given=("root: release_id = 'known'",),
        found=0,
        alone=True,
        name="known_releases of another account",
    ),
    Case(
        stage_queries.STAGINGS_ARE_CROWDED,
        lambda part: {
            "part_id": str(part.root.id),
            "organization_id": part.root.organization_id,
            "most": 1,
        },
        unless=("staging: state = 'waiting'", "staging: lease_until = now()"),
        found=1,
        alone=True,
    ),
    Case(
        stage_queries.STAGINGS_ARE_CROWDED,
        lambda part: {"part_id": str(part.root.id), "organization_id": new_id(), "most": 1},
        found=0,
        alone=True,
        name="stagings_are_crowded by another organization",
    ),
    Case(
        stage_queries.STAGINGS_ARE_CROWDED,
        lambda part: {
            "part_id": str(part.root.id),
            "organization_id": part.root.organization_id,
            "most": 2,
        },
        found=0,
        alone=True,
        name="stagings_are_crowded below the limit",
    ),
    Case(
        stage_queries.REPLIES_WITH_MEDIA,
        lambda part: {"root_id": part.root.id, "revision": 3},
        given=(f"root: media = {PICTURE}", f"reply: state = 'queued', media = {PICTURE}"),
        unless=(
            "reply: revision = 4",
            "reply: deleted_at = now()",
            "reply: state = 'failed'",
            "reply: media = '[]'",
        ),
        found=1,
    ),
    Case(
        late_queries.LIMITED_ATTEMPTS,
        lambda part: {**page(part), "late_seconds": 300.0},
        given=(
            "root: publish_at = now() - interval '5 minutes'",
            "attempt: state = 'waiting', error_code = 'rate_limited', resume_at = now() + interval '60001 milliseconds'",
        ),
        unless=(
            "attempt: state = 'running'",
            "attempt: error_code = 'other'",
            "attempt: resume_at = now() + interval '1 minute'",
            "root: publish_at = now() - interval '299999 milliseconds'",
        ),
        found=1,
        alone=True,
    ),
]

COUNTS = [
    *(
        Case(
            late_queries.LATE_PARTS,
            lambda _part: {"most_counted": 10},
            given=(f"{part}: state = 'queued', {late}", *more),
            unless=(
                f"{part}: state = 'publishing'",
                f"{part}: deleted_at = now()",
                f"{part}: due_at = null",
                f"{part}: {soon}",
            ),
            alone=True,
            name=f"late_parts with a {part}",
        )
        for part, late, soon, more in (
            (
                "root",
                "due_at = now() + interval '1 hour', publish_at = now() - interval '5 minutes'",
                "publish_at = now() - interval '299999 milliseconds'",
                (),
            ),
            (
                "reply",
                "due_at = now() - interval '5 minutes', publish_at = now() - interval '1 hour'",
                "due_at = now() - interval '299999 milliseconds'",
                (),
            ),
        )
    ),
    Case(
        late_queries.CROWDED_PARTS,
        lambda _part: {},
        given=("root: state = 'queued', error_code = 'crowded', due_at = now()",),
        unless=(
            "root: state = 'publishing'",
            "root: deleted_at = now()",
            "root: due_at = null",
            "root: error_code = 'old'",
        ),
        alone=True,
    ),
]


def a_channel_of_ours(session: Session) -> Channel:
    return a_channel(session, an_organization(session), remote_id="1")


def a_thread(session: Session, channel: Channel, given: tuple[str, ...]) -> Part:
    """Store three parts with an attempt and a staging of the first, as the case needs them."""
    root = a_post(session, channel, state=PostState.DRAFT)
    reply = a_post(session, channel, parent=root, state=PostState.DRAFT)
    last = a_post(session, channel, parent=reply, state=PostState.DRAFT)
    of_root = {
        "id": new_id(),
        "organization_id": channel.organization_id,
        "post_id": root.id,
        "revision": 3,
        "generation": 2,
        "lease_until": root.publish_at,
    }
    attempt = Attempt(
        **of_root | {"id": new_id()},
        root_id=root.id,
        channel_id=channel.id,
        number=1,
        state=AttemptState.RUNNING,
    )
    staging = Staging(**of_root, state=StagingState.RUNNING)
    session.add_all(
        row for row, name in ((attempt, "no attempt"), (staging, "no staging")) if name not in given
    )
    session.flush()
    thread = Part(root, reply, last, attempt, staging)
    defaults = (f"{name}: {DEFAULTS[table]}" for name, table in TABLES.items())
    change(session, thread, *defaults, *(one for one in given if not one.startswith("no ")))
    return thread


def change(session: Session, thread: Part, *columns: str) -> None:
    """Set columns of rows without the rules about moves, which are about what Roost does."""
    session.execute(text("set local session_replication_role = replica"))
    for one in columns:
        name, _, assignments = one.partition(": ")
        values = {"id": getattr(thread, name).id}
        session.execute(text(f"update {TABLES[name]} set {assignments} where id = :id"), values)
    session.execute(text("set local session_replication_role = origin"))


def rows_of(session: Session) -> dict[tuple[str, Any], dict[str, Any]]:
    return {(row.kind, row.id): row.columns for row in session.execute(ALL_ROWS)}


def carry_out(
    session: Session, case: Case, spoil: str = ""
) -> tuple[list[Any], dict[str, set[str]], list[str]]:
    """Run the statement for the first of the threads; the rows it returns, what differs, and the tables it added to."""
    thread = a_thread(session, channel := a_channel_of_ours(session), case.given)
    if spoil:
        change(session, thread, spoil)
    elif not case.alone:
        a_thread(session, channel, case.given)
        a_thread(session, a_channel_of_ours(session), case.given)
    names = {getattr(thread, name).id: name for name in TABLES}
    before = rows_of(session)
    found = case.statement.all(session, **case.params(thread))
    after = rows_of(session)
    changed = {
        names.get(key[1], "a bystander"): {
            column for column, value in row.items() if after[key][column] != value
        }
        for key, row in before.items()
        if after[key] != row
    }
    return found, changed, [kind for kind, key in after if (kind, key) not in before]


def words(changes: Mapping[str, str]) -> dict[str, set[str]]:
    return {name: set(columns.split()) for name, columns in changes.items()}


@pytest.mark.parametrize("case", [*WRITES, *SWEEPS, *READS], ids=str)
def test_it_changes_what_it_names_and_nothing_else(session: Session, case: Case) -> None:
    found, changed, new = carry_out(session, case)
    assert changed == words(case.changes)
    assert new == ([case.new] if case.new else [])
    if case.found is not None:
        assert len(found) == case.found


SPOILED = [
    pytest.param(case, spoil, id=f"{case}-{spoil if isinstance(spoil, str) else spoil[0]}")
    for case in (*WRITES, *SWEEPS, *READS)
    for spoil in case.unless
]


@pytest.mark.parametrize(("case", "spoil"), SPOILED)
def test_it_does_nothing_where_a_condition_is_not_met(
    session: Session, case: Case, spoil: str | tuple[str, str]
) -> None:
    columns, left = (spoil, "") if isinstance(spoil, str) else spoil
    found, changed, new = carry_out(session, case, columns)
    assert changed == words({name: case.changes[name] for name in left.split()})
    assert new == []
    if case.found is not None and not left:
        assert found == []


@pytest.mark.parametrize("case", COUNTS, ids=str)
def test_it_counts_what_meets_every_condition(session: Session, case: Case) -> None:
    thread = a_thread(session, a_channel_of_ours(session), case.given)
    (row,) = case.statement.all(session, **case.params(thread))
    assert row.total == 1


@pytest.mark.parametrize(
    ("case", "spoil"),
    [
        pytest.param(case, spoil, id=f"{case}-{spoil}")
        for case in COUNTS
        for spoil in case.unless
        if isinstance(spoil, str)
    ],
)
def test_it_does_not_count_what_misses_one(session: Session, case: Case, spoil: str) -> None:
    thread = a_thread(session, a_channel_of_ours(session), case.given)
    change(session, thread, spoil)
    (row,) = case.statement.all(session, **case.params(thread))
    assert row.total == 0


class TestWhatIsRead:
    """A part as every decision about it sees it: what belongs to another part, generation or platform does not count."""

    GIVEN = (
        "root: state = 'published', published_at = now() - interval '10 minutes', release_id = 'root',"
        " publish_at = now() - interval '1 hour'",
        "reply: state = 'queued', publish_at = now() - interval '1 hour', due_at = now(), delay_seconds = 60",
    )

    def read(self, session: Session, *changes: str) -> PartRow:
        thread = a_thread(session, a_channel_of_ours(session), (*self.GIVEN, *changes))
        return sweep_queries.LOST_PARTS.one(session, ids=[thread.reply.id])

    def test_a_reply_is_late_by_its_delay_after_the_part_before_it(self, session: Session) -> None:
        assert self.read(session).late_seconds == 9 * 60

    def test_a_reply_is_not_late_before_the_time_of_the_thread(self, session: Session) -> None:
        later = "reply: publish_at = now() - interval '1 minute'"
        assert self.read(session, later).late_seconds == 60

    def test_the_part_before_it_is_the_one_that_is_not_deleted(self, session: Session) -> None:
        row = self.read(session)
        assert (row.predecessor_state, row.parent_release_id) == ("published", "root")
        gone = self.read(session, "root: deleted_at = now()")
        assert (gone.predecessor_state, gone.parent_release_id) == (None, None)

    @pytest.mark.parametrize(
        ("provider", "until", "paused"),
        [
            ("mastodon", "now() + interval '1 minute'", 60),
            ("mastodon", "now()", None),
            ("x", "now() + interval '1 minute'", None),
        ],
    )
    def test_a_pause_is_of_its_platform_and_ends(
        self, session: Session, provider: str, until: str, paused: int | None
    ) -> None:
        session.execute(
            text(
                f"insert into provider_pauses (provider, until, reason) values (:on, {until}, '')"
            ),
            {"on": provider},
        )
        assert self.read(session).paused_seconds == paused

    @pytest.mark.parametrize(
        ("staging", "state"),
        [
            ("staging: state = 'ready'", "ready"),
            ("staging: state = 'ready', revision = 4", None),
            ("staging: state = 'ready', generation = 1", None),
        ],
    )
    def test_a_staging_is_of_this_revision_and_generation(
        self, session: Session, staging: str, state: str | None
    ) -> None:
        thread = a_thread(session, channel := a_channel_of_ours(session), (staging,))
        a_thread(session, channel, ("staging: state = 'failed'",))
        row = sweep_queries.LOST_PARTS.one(session, ids=[thread.root.id])
        assert row.staging_state == state

    @pytest.mark.parametrize(
        ("columns", "number"),
        [
            ("counts = true", 2),
            ("counts = false", 1),
            ("revision = 2", 1),
            ("generation = 1", 1),
        ],
    )
    def test_tries_of_this_revision_and_generation_count(
        self, session: Session, columns: str, number: int
    ) -> None:
        ended = f"attempt: state = 'refused', finished_at = now(), {columns}"
        thread = a_thread(session, channel := a_channel_of_ours(session), (*QUEUED, ended))
        a_thread(session, channel, (*QUEUED, "attempt: state = 'refused', finished_at = now()"))
        assert claim_queries.CLAIM.one(session, **claim(thread)).number == number


class TestMedia:
    """Staging starts for media of the thread that a hint is about, not for those of others or of deleted parts."""

    GIVEN = (
        "root: state = 'queued', due_at = now(), armed_revision = 3, enqueued_at = null",
        "root: updated_at = now() - interval '1 hour'",
    )

    @pytest.mark.parametrize(
        ("ours", "others", "has_media"),
        [
            (f"reply: media = {PICTURE}", "", True),
            (f"reply: media = {PICTURE}, deleted_at = now()", "", False),
            ("reply: title = null", f"root: media = {PICTURE}", False),
        ],
    )
    @pytest.mark.parametrize("name", ["take_unarmed", "take_unsent", "prepare"])
    def test_they_are_of_the_thread(
        self, session: Session, name: str, ours: str, others: str, *, has_media: bool
    ) -> None:
        unarmed = ("root: armed_revision = null",) if name == "take_unarmed" else ()
        channel = a_channel_of_ours(session)
        thread = a_thread(session, channel, (*self.GIVEN, *unarmed, ours))
        if others:
            a_thread(session, channel, (others,))
        found: list[Any]
        if name == "prepare":
            found = prepare_queries.PREPARE.all(session, **named(thread), threshold_seconds=0)
            assert [row.thread_has_media for row in found] == [has_media]
            return
        if name == "take_unsent":
            found = sweep_queries.TAKE_UNSENT.all(session, page_size=10)
        else:
            found = sweep_queries.TAKE_UNARMED.all(session, page_size=10, grace_seconds=60)
        assert [row.has_media for row in found] == [has_media]

    @pytest.mark.parametrize(("media", "has_media"), [(PICTURE, True), ("'[]'", False)])
    def test_a_retry_has_those_of_its_part(
        self, session: Session, media: str, *, has_media: bool
    ) -> None:
        thread = a_thread(session, a_channel_of_ours(session), (*RUNNING, f"root: media = {media}"))
        row = record_queries.RECORD_RETRY.one(
            session, **an_end(thread), counts=True, after_seconds=5
        )
        assert row.has_media is has_media


def a_pause(session: Session, until: str, provider: str = "mastodon") -> None:
    session.execute(
        text(f"insert into provider_pauses (provider, until, reason) values (:on, {until}, '')"),
        {"on": provider},
    )


class TestOverdue:
    @pytest.mark.parametrize(
        ("late", "again"),
        [("30 seconds", 60), ("2 minutes", 60), ("10 minutes", 300), ("5 hours", 3_600)],
    )
    def test_it_is_sent_again_at_growing_intervals(
        self, session: Session, late: str, again: int
    ) -> None:
        given = f"root: state = 'queued', due_at = now() - interval '{late}', next_check_at = null"
        thread = a_thread(session, a_channel_of_ours(session), (given,))
        sweep_queries.TAKE_OVERDUE.one(session, page_size=1, late_seconds=300)
        assert self.next_check(session, thread) == again

    @pytest.mark.parametrize(
        ("pause", "provider", "again"),
        [
            ("1 hour", "mastodon", 300 - 60),  # when members are to be notified
            ("2 minutes", "mastodon", 120),
            ("0 seconds", "mastodon", 60),  # over
            ("1 hour", "x", 60),
        ],
    )
    def test_during_a_pause_it_is_looked_at_when_it_ends_or_is_late(
        self, session: Session, pause: str, provider: str, again: int
    ) -> None:
        a_pause(session, f"now() + interval '{pause}'", provider)
        when = "now() - interval '1 minute'"
        given = (
            f"root: state = 'queued', due_at = {when}, publish_at = {when}, next_check_at = null"
        )
        thread = a_thread(session, a_channel_of_ours(session), (given,))
        sweep_queries.TAKE_OVERDUE.one(session, page_size=1, late_seconds=300)
        assert self.next_check(session, thread) == again

    @staticmethod
    def next_check(session: Session, thread: Part) -> float:
        """Return in how many seconds the sweep takes it: 20 after its next check, when a message may be late."""
        seconds = text("select extract(epoch from next_check_at - now()) from posts where id = :id")
        return 20 + float(session.execute(seconds, {"id": thread.root.id}).scalar_one())


@pytest.mark.parametrize(
    ("attempt", "doubt"),
    [
        ("state = 'sending', doubt_since = null", 9),
        ("state = 'sending', doubt_since = now() - interval '1 minute'", 60),
        ("state = 'running', doubt_since = null", None),
    ],
)
def test_a_lost_try_is_in_doubt_since_its_first_request(
    session: Session, attempt: str, doubt: int | None
) -> None:
    a_thread(session, a_channel_of_ours(session), (f"attempt: lease_until = now(), {attempt}",))
    row = sweep_queries.TAKE_LOST.one(session, page_size=1)
    assert row.doubt_seconds == doubt


class TestStuckReply:
    GIVEN = (
        "reply: state = 'queued', publish_at = now() - interval '1 hour', delay_seconds = 60",
        "last: state = 'queued', publish_at = now() - interval '1 hour'",
    )

    @pytest.mark.parametrize(
        ("published", "due"), [("10 minutes", 0), ("20 seconds", 40)], ids=["over", "to come"]
    )
    def test_it_goes_on_after_its_delay(self, session: Session, published: str, due: int) -> None:
        root = f"root: state = 'published', published_at = now() - interval '{published}'"
        thread = a_thread(session, a_channel_of_ours(session), (*self.GIVEN, root))
        row = stuck.TAKE_STUCK.one(session, page_size=10, missing="missing", failed="failed")
        assert (row.id, row.goes_on) == (thread.reply.id, True)
        seconds = text("select extract(epoch from due_at - now()) from posts where id = :id")
        assert session.execute(seconds, {"id": thread.reply.id}).scalar_one() == due

    @pytest.mark.parametrize(
        ("root", "code", "sentence"),
        [
            ("state = 'failed'", "predecessor_failed", "failed"),
            ("state = 'draft'", "predecessor_failed", "failed"),
            (
                "state = 'published', published_at = now(), deleted_at = now()",
                "predecessor_missing",
                "missing",
            ),
        ],
    )
    def test_it_fails_with_the_rest_of_the_thread(
        self, session: Session, root: str, code: str, sentence: str
    ) -> None:
        thread = a_thread(
            session, channel := a_channel_of_ours(session), (*self.GIVEN, f"root: {root}")
        )
        a_thread(session, channel, ("root: state = 'queued'",))
        rows = stuck.TAKE_STUCK.all(session, page_size=1, missing="missing", failed="failed")
        assert [row.id for row in rows] == [thread.reply.id, thread.last.id]
        stored = text(
            "select state, error_code, error_message from posts where root_id = :id and position > 0"
        )
        found = session.execute(stored, {"id": thread.root.id}).all()
        assert [tuple(row) for row in found] == [("failed", code, sentence)] * 2

    @pytest.mark.parametrize("state", ["queued", "publishing", "unconfirmed"])
    def test_it_waits_for_what_is_under_way(self, session: Session, state: str) -> None:
        root = f"root: state = '{state}', due_at = now()"
        a_thread(session, a_channel_of_ours(session), (*self.GIVEN, root))
        assert not stuck.TAKE_STUCK.all(session, page_size=10, missing="missing", failed="failed")


class TestHeldByALimit:
    ROOT = (
        "root: state = 'queued', error_code = 'rate_limited', publish_at = now() - interval '1 hour',"
        " due_at = now() + interval '2 minutes'"
    )

    @pytest.mark.parametrize(
        ("pause", "provider", "until"),
        [
            ("5 minutes", "mastodon", 300),
            ("1 minute", "mastodon", 120),
            ("5 minutes", "x", 120),
        ],
    )
    def test_until_its_platform_takes_posts_again(
        self, session: Session, pause: str, provider: str, until: int
    ) -> None:
        a_pause(session, f"now() + interval '{pause}'", provider)
        a_thread(session, a_channel_of_ours(session), (self.ROOT,))
        row = late_queries.TAKE_LIMITED.one(session, page_size=1, late_seconds=300)
        now = session.execute(text("select now()")).scalar_one()
        assert (row.until - now).total_seconds() == until

    @pytest.mark.parametrize("code", ["rate_limited", "crowded"])
    @pytest.mark.parametrize(("published", "taken"), [("6 minutes", True), ("5 minutes", False)])
    def test_a_reply_is_late_after_the_part_before_it(
        self, session: Session, code: str, published: str, *, taken: bool
    ) -> None:
        thread = a_thread(
            session,
            channel := a_channel_of_ours(session),
            (
                f"root: state = 'published', published_at = now() - interval '{published}'",
                f"reply: state = 'queued', error_code = '{code}', publish_at = now() - interval '1 hour',"
                " due_at = now() + interval '2 minutes', delay_seconds = 60",
            ),
        )
        a_thread(
            session,
            channel,
            ("root: state = 'published', published_at = now() - interval '1 day'",),
        )
        find = late_queries.TAKE_LIMITED if code == "rate_limited" else late_queries.TAKE_CROWDED
        rows: list[Any] = find.all(session, page_size=10, late_seconds=300)
        assert [row.id for row in rows] == ([thread.reply.id] if taken else [])

    @pytest.mark.parametrize(("ours", "told"), [(True, True), (False, False)])
    def test_members_are_told_once_of_a_try_that_waits(
        self, session: Session, *, ours: bool, told: bool
    ) -> None:
        thread = a_thread(
            session,
            a_channel_of_ours(session),
            (
                "root: publish_at = now() - interval '1 hour'",
                "attempt: state = 'waiting', error_code = 'rate_limited'",
            ),
        )
        owner = thread.root.organization_id if ours else an_organization(session).id
        session.add(
            Notification(
                id=new_id(),
                organization_id=owner,
                kind=NotificationKind.FAILURE,
                title="",
                content="",
                dedupe_key=f"limited:{thread.root.id}:2",
            )
        )
        session.flush()
        rows = late_queries.LIMITED_ATTEMPTS.all(session, page_size=10, late_seconds=300)
        assert (not rows) is told


@pytest.mark.parametrize(
    ("name", "earlier"),
    [
        ("take_unarmed", "root: due_at = now() + interval '59 minutes'"),
        (
            "take_unsent at now() + interval '3 minutes'",
            "root: due_at = now() + interval '2 minutes'",
        ),
        (
            "take_overdue with due_at = now() - interval '20 seconds', next_check_at = null",
            "root: due_at = now() - interval '21 seconds'",
        ),
        ("take_lost of one that is running", "attempt: lease_until = now() - interval '1 second'"),
        ("take_waiting", "attempt: lease_until = now() - interval '1 second'"),
        (
            "take_stagings of one that is running",
            "staging: lease_until = now() - interval '1 second'",
        ),
        ("take_stuck of a root", "root: publish_at = now() - interval '61 seconds'"),
        ("take_limited", "root: publish_at = now() - interval '301 seconds'"),
        ("take_crowded", "root: publish_at = now() - interval '301 seconds'"),
    ],
)
def test_a_page_holds_what_has_waited_longest(session: Session, name: str, earlier: str) -> None:
    """Without the order, what a full page leaves out may never be taken; with one row more, a page is no limit."""
    (case,) = (one for one in SWEEPS if str(one) == name)
    channel = a_channel_of_ours(session)
    a_thread(session, channel, case.given)
    first = a_thread(session, channel, case.given)
    change(session, first, earlier)
    a_thread(session, channel, case.given)
    before = rows_of(session)
    case.statement.all(session, **{**case.params(first), "page_size": 1})
    after = rows_of(session)
    ours = {getattr(first, part).id for part in TABLES}
    changed = {key[1] for key, row in before.items() if after[key] != row}
    assert changed
    assert changed <= ours


@pytest.mark.parametrize(
    ("root", "wait"),
    [
        ("state = 'queued', due_at = now() + interval '5 seconds'", 5),
        ("state = 'queued', due_at = null", None),
        ("state = 'publishing', due_at = now()", None),
        ("state = 'draft', due_at = now()", None),
    ],
)
def test_a_staging_that_was_kept_says_how_long_only_a_queued_part_waits(
    session: Session, root: str, wait: float | None
) -> None:
    """Another part is not published next, so nothing is sent for it and nobody hears that it waits."""
    thread = a_thread(session, a_channel_of_ours(session), (f"root: {root}",))
    assert stage_queries.KEEP_STAGING.one(session, **staged(thread)).wait_seconds == wait


@pytest.mark.parametrize(("media", "has_media"), [("'[]'", False), (PICTURE, True)])
def test_after_a_release_media_are_staged_only_for_a_part_that_has_some(
    session: Session, media: str, has_media: bool
) -> None:
    case = next(one for one in WRITES if one.statement is record_queries.RECORD_RELEASED)
    thread = a_thread(session, a_channel_of_ours(session), case.given)
    change(session, thread, f"reply: media = {media}")
    (row,) = case.statement.all(session, **case.params(thread))
    assert (row.id, row.has_media) == (thread.reply.id, has_media)
