"""The tables of posts: every part of every thread is a row of `posts`.

Its history is in `revisions`, its approval in `reviews`. `lifecycle.py` defines the moves of `state`.
"""

import uuid
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from shared.core.ids import (
    ChangeId,
    ChannelId,
    GroupId,
    OrganizationId,
    PostId,
    ReviewId,
    TagId,
    UserId,
    new_id,
)
from shared.db.base import Base, SoftDelete, Timestamps
from shared.db.types import text_enum
from shared.posts.approval import ReviewOutcome, ReviewStep
from shared.posts.lifecycle import PostState, Review


class CreationMethod(StrEnum):
    """The interface through which a post was created."""

    WEB = "web"
    API = "api"
    CLI = "cli"
    MCP = "mcp"
    AUTOPOST = "autopost"
    UNKNOWN = "unknown"


class Post(Timestamps, SoftDelete, Base):
    """One part: the root of a message to one channel (`position` 0, `root_id` = `id`) or one of its replies.

    Time. `publish_at` is the member's time and is the same for all parts. `due_at` is when to do something next; None for
    drafts, parts that wait for the part before them, and finished parts. Lateness is measured from `publish_at`.

    Versions, on the root. `revision` is raised by every edit of time, content, settings or channel; messages and schedules
    carry it, so that stale ones do nothing. `generation` is raised, per part, when a member resends a failed or unconfirmed
    part; idempotency keys are made from part and generation.

    Hints, never trusted. `armed_revision` is the revision of the last schedule or message, `arm_count` their number,
    `enqueued_at` when the message was last sent, and `next_check_at` when reconcile may look again.
    `counted_period`, on the root, is the first day of the billing month in which the post is counted; None if it is not.
    """

    __tablename__ = "posts"
    __table_args__ = (
        CheckConstraint("(position = 0) = (parent_id is null)", name="root_has_no_parent"),
        CheckConstraint("(position = 0) = (root_id = id)", name="root_is_itself"),
        CheckConstraint(
            "state <> 'published' or published_at is not null", name="published_has_time"
        ),
        CheckConstraint("delay_seconds >= 0", name="delay_positive"),
        CheckConstraint(
            "state <> 'queued' or review in ('none', 'approved')", name="queued_is_approved"
        ),
        UniqueConstraint("root_id", "position"),
        Index(
            "ix_posts_calendar",
            "organization_id",
            "publish_at",
            "id",
            postgresql_where=text("position = 0 and deleted_at is null"),
        ),
        Index(
            "ix_posts_state",
            "organization_id",
            "state",
            "publish_at",
            "id",
            postgresql_where=text("position = 0 and deleted_at is null"),
        ),
        Index(
            "ix_posts_due",
            "due_at",
            postgresql_where=text("state = 'queued' and deleted_at is null and due_at is not null"),
        ),
        Index(
            "ix_posts_unarmed",
            "due_at",
            postgresql_where=text(
                "state = 'queued' and deleted_at is null and due_at is not null and armed_revision is null"
            ),
        ),
        Index(
            "ix_posts_waiting",
            "publish_at",
            "id",
            postgresql_where=text("state = 'queued' and deleted_at is null and due_at is null"),
        ),
        Index(
            "ix_posts_check",
            text("GREATEST(due_at, next_check_at)"),
            postgresql_where=text("state = 'queued' and deleted_at is null and due_at is not null"),
        ),
        Index(
            "ix_posts_late",
            "publish_at",
            postgresql_where=text(
                "state = 'queued' and deleted_at is null and due_at is not null and position = 0"
            ),
        ),
        Index(
            "ix_posts_held",
            "error_code",
            "publish_at",
            postgresql_where=text(
                "state = 'queued' and deleted_at is null and due_at is not null"
                " and told_generation is distinct from generation and error_code in ('rate_limited', 'crowded')"
            ),
        ),
        Index(
            "ix_posts_crowded",
            "organization_id",
            postgresql_where=text(
                "state = 'queued' and deleted_at is null and due_at is not null and error_code = 'crowded'"
            ),
        ),
        Index(
            "ix_posts_unpublished_media",
            "id",
            postgresql_where=text(
                "state <> 'published' and deleted_at is null and jsonb_array_length(media) > 0"
            ),
        ),
        Index(
            "ix_posts_counted",
            "organization_id",
            "counted_period",
            postgresql_where=text("counted_period is not null"),
        ),
        Index("ix_posts_group_id", "group_id"),
        Index("ix_posts_created_by", "created_by", postgresql_where=text("created_by is not null")),
        Index("ix_posts_channel", "channel_id", "publish_at", "content_hash"),
        Index(
            "uq_posts_release",
            "channel_id",
            "release_id",
            unique=True,
            postgresql_where=text("release_id is not null and release_id <> 'missing'"),
        ),
        Index(
            "uq_posts_series",
            "series_id",
            "series_index",
            unique=True,
            postgresql_where=text("series_id is not null and position = 0"),
        ),
    )

    id: Mapped[PostId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    channel_id: Mapped[ChannelId] = mapped_column(ForeignKey("channels.id"))
    group_id: Mapped[GroupId]
    root_id: Mapped[PostId]
    parent_id: Mapped[PostId | None]
    position: Mapped[int] = mapped_column(default=0)
    state: Mapped[PostState] = mapped_column(text_enum(PostState))
    review: Mapped[Review] = mapped_column(text_enum(Review), default=Review.NONE)
    content: Mapped[str]
    media: Mapped[list[dict[str, Any]]] = mapped_column(
        default=list
    )  # [{"id", "alt"?, "thumbnailId"?}], in order
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)  # the root's, for all its parts
    title: Mapped[str | None]
    content_hash: Mapped[str]
    publish_at: Mapped[datetime]
    delay_seconds: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(default=1)
    generation: Mapped[int] = mapped_column(default=1)
    armed_revision: Mapped[int | None]
    arm_count: Mapped[int] = mapped_column(default=1)
    enqueued_at: Mapped[datetime | None]
    next_check_at: Mapped[datetime | None]
    told_generation: Mapped[int | None]  # the one of which members know that it is held up
    creation_method: Mapped[CreationMethod] = mapped_column(
        text_enum(CreationMethod), default=CreationMethod.UNKNOWN
    )
    created_by: Mapped[UserId | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    published_at: Mapped[datetime | None]
    release_id: Mapped[str | None]
    release_url: Mapped[str | None]
    release_data: Mapped[dict[str, Any] | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    counted_period: Mapped[date | None]
    series_id: Mapped[uuid.UUID | None]
    series_index: Mapped[int | None]
    recurrence: Mapped[dict[str, Any] | None]  # {"anchor", "rule", "timezone"}; the root's


class Revision(Base):
    """A change of a post: who changed what and when. `changes` is `{field: [before, after]}`; `action` is the verb."""

    __tablename__ = "revisions"
    __table_args__ = (
        Index("ix_revisions_root_id", "root_id", "created_at"),
        Index("ix_revisions_actor_id", "actor_id", postgresql_where=text("actor_id is not null")),
    )

    id: Mapped[ChangeId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    root_id: Mapped[PostId] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"))
    revision: Mapped[int] = mapped_column(Integer)
    actor_id: Mapped[UserId | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    action: Mapped[str]
    changes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class PostReview(Base):
    """A step of a post's approval: requested, and then approved, declined or withdrawn (`outcome`; None while it waits).

    `steps` are all steps of the request, in order. `revision` is the one to decide on, later the one that was decided on. An
    approval counts until a change of the post voids it (`voided_at`). `reminders` is the last reminder, as in
    `posts/review_notices.py`.
    """

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint("(outcome is null) = (decided_at is null)", name="decided_has_time"),
        Index("ix_reviews_root_id", "root_id", "created_at"),
        Index("ix_reviews_organization_id", "organization_id"),
        Index(
            "uq_reviews_waiting", "root_id", unique=True, postgresql_where=text("outcome is null")
        ),
        Index(
            "uq_reviews_approved",
            "root_id",
            "step",
            unique=True,
            postgresql_where=text("outcome = 'approved' and voided_at is null"),
        ),
    )

    id: Mapped[ReviewId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    root_id: Mapped[PostId] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"))
    step: Mapped[ReviewStep] = mapped_column(text_enum(ReviewStep))
    steps: Mapped[list[str]] = mapped_column(ARRAY(Text))
    revision: Mapped[int]
    outcome: Mapped[ReviewOutcome | None] = mapped_column(text_enum(ReviewOutcome))
    requested_by: Mapped[UserId | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    decided_by: Mapped[UserId | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    link_id: Mapped[uuid.UUID | None]
    note: Mapped[str | None]
    reminders: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    decided_at: Mapped[datetime | None]
    voided_at: Mapped[datetime | None]


class Tag(Timestamps, SoftDelete, Base):
    """A label of an organization."""

    __tablename__ = "tags"
    __table_args__ = (
        Index(
            "uq_tags_name",
            "organization_id",
            "name",
            unique=True,
            postgresql_where=text("deleted_at is null"),
        ),
    )

    id: Mapped[TagId] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    name: Mapped[str]
    color: Mapped[str]


class PostTag(Base):
    """A tag on a root post."""

    __tablename__ = "post_tags"
    __table_args__ = (Index("ix_post_tags_tag_id", "tag_id"),)

    post_id: Mapped[PostId] = mapped_column(
        ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True
    )
    tag_id: Mapped[TagId] = mapped_column(
        ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True
    )
    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
