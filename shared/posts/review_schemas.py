"""Request and response schemas of reviews."""

from typing import Literal

from pydantic import Field

from shared.core.ids import ChannelId, GroupId, PostId, UserId
from shared.core.wire import RequestModel, WireModel, WireTime
from shared.posts.approval import ReviewStep
from shared.posts.lifecycle import Review
from shared.posts.schemas import StatusOut

MOST_DECIDED = 100
_NOTE = "For the history, and for the other side."
_DATE = "A new time. It is required for an approval if the post's own has passed."


class ReviewIn(RequestModel):
    """An action of a post's review."""

    action: Literal["request", "withdraw", "approve", "decline"]
    note: str | None = Field(default=None, max_length=2_000, description=_NOTE)
    date: WireTime | None = Field(default=None, description=_DATE)
    revision: int | None = Field(
        default=None, description="The revision that you have seen. A decision needs it."
    )


class PostToDecide(RequestModel):
    id: PostId
    revision: int = Field(description="The revision that you have seen.")


class GroupReviewIn(RequestModel):
    """A decision on several posts of a group."""

    action: Literal["approve", "decline"]
    note: str | None = Field(default=None, max_length=2_000, description=_NOTE)
    date: WireTime | None = Field(default=None, description=_DATE)
    posts: list[PostToDecide] = Field(min_length=1, max_length=MOST_DECIDED)


class ReviewOut(StatusOut):
    """A post and its review."""

    waits_for: ReviewStep | None = Field(description="Who decides next; null: nobody.")


class DecidedPost(WireModel):
    """The answer for one post: its review, or why it was not decided."""

    id: PostId
    status: int = Field(examples=[200, 409])
    review: ReviewOut | None = None
    code: str | None = None
    error: str | None = None


class DecidedGroup(WireModel):
    """One answer for each post, in the order of the request."""

    id: GroupId
    posts: list[DecidedPost]


class WaitingPost(WireModel):
    """A post that waits for approval."""

    id: PostId
    group: GroupId
    integration: ChannelId
    integration_name: str
    content: str
    publish_date: WireTime
    overdue: bool = Field(description="Its time has passed. Approving it needs a new `date`.")
    revision: int
    review: Review = Review.REQUESTED
    step: ReviewStep
    steps: list[ReviewStep]
    requested_by: UserId | None
    requested_at: WireTime
    is_yours: bool = Field(description="Whether you decide on this step.")


class ReviewsOut(WireModel):
    """The posts that wait for approval, earliest first."""

    reviews: list[WaitingPost]
