"""The tables of publishing: attempts to publish a part, and stagings of its media."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.core.ids import AttemptId, ChannelId, OrganizationId, PostId, StagingId, new_id
from shared.db.base import Base
from shared.db.types import text_enum


class AttemptState(StrEnum):
    """The state of a try.

    `running`: nothing irrevocable was sent. `sending`: something may have been. `waiting`: the platform works on it,
    continue at `resume_at`. The others are ends: `released`, `refused` (nothing was created), `unknown`.
    """

    RUNNING = "running"
    SENDING = "sending"
    WAITING = "waiting"
    RELEASED = "released"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Attempt(Base):
    """One try to publish one part. At most one per part is live.

    `step` counts the continuations; the process with (`id`, `step`) and a live lease may act. `sending_at` is the mark of the
    current request. `accepted`: the platform accepted the post and is processing it. `doubt_since`: since then, the outcome of
    an earlier request of this attempt is unknown. `counts` is False for a try that a rate limit or a token refresh ended: it is
    not one of the five. `named_host` is the channel's, because tries at named servers are limited.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        Index(
            "uq_attempts_live", "post_id", unique=True, postgresql_where=text("finished_at is null")
        ),
        Index("ix_attempts_root_id", "root_id", "started_at"),
        Index(
            "ix_attempts_finished_at",
            "finished_at",
            "id",
            postgresql_where=text("finished_at is not null"),
        ),
        Index(
            "ix_attempts_named_host",
            "organization_id",
            postgresql_where=text("finished_at is null and named_host is not null"),
        ),
        Index("ix_attempts_lease", "lease_until", postgresql_where=text("finished_at is null")),
        Index(
            "ix_attempts_late",
            "channel_id",
            "release_id",
            postgresql_where=text(
                "release_id is not null and state <> 'released' and finished_at is not null"
            ),
        ),
        CheckConstraint(
            "(state in ('running', 'sending', 'waiting')) = (finished_at is null)",
            name="live_is_unfinished",
        ),
    )

    id: Mapped[AttemptId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    post_id: Mapped[PostId] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"))
    root_id: Mapped[PostId]
    channel_id: Mapped[ChannelId]
    named_host: Mapped[str | None]
    revision: Mapped[int]
    generation: Mapped[int]
    number: Mapped[int]
    state: Mapped[AttemptState] = mapped_column(text_enum(AttemptState))
    step: Mapped[int] = mapped_column(default=1)
    lease_until: Mapped[datetime]
    sending_at: Mapped[datetime | None]
    accepted: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    doubt_since: Mapped[datetime | None]
    resume_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any] | None]
    counts: Mapped[bool] = mapped_column(default=True)
    started_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    finished_at: Mapped[datetime | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    evidence: Mapped[dict[str, Any] | None]
    release_id: Mapped[str | None]
    release_url: Mapped[str | None]
    release_data: Mapped[dict[str, Any] | None]


class StagingState(StrEnum):
    """The state of a staging. `waiting`: continue at `resume_at`."""

    RUNNING = "running"
    WAITING = "waiting"
    READY = "ready"
    FAILED = "failed"


class Staging(Base):
    """The staging of a part's media for one revision and generation. Not used after `expires_at`."""

    __tablename__ = "stagings"
    __table_args__ = (
        UniqueConstraint("post_id", "revision", "generation"),
        Index("ix_stagings_updated_at", "updated_at"),
        Index("ix_stagings_running", "organization_id", postgresql_where=text("state = 'running'")),
        Index(
            "ix_stagings_unfinished",
            "lease_until",
            postgresql_where=text("state in ('running', 'waiting')"),
        ),
    )

    id: Mapped[StagingId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    post_id: Mapped[PostId] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"))
    revision: Mapped[int]
    generation: Mapped[int]
    state: Mapped[StagingState] = mapped_column(text_enum(StagingState))
    step: Mapped[int] = mapped_column(default=1)
    tries: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime]
    resume_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    expires_at: Mapped[datetime | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
