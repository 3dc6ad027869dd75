"""The refusals of posts: what does not exist, and what a post's state does not allow."""

from datetime import datetime, timedelta

from shared.core import clock
from shared.core.errors import (
    Conflict,
    FieldProblem,
    Forbidden,
    InvalidInput,
    NotFound,
    Unavailable,
)
from shared.core.ids import PostId
from shared.posts.lifecycle import PostState


class PostNotFound(NotFound):
    """There is no such post in this organization, or it was deleted."""

    code = "post_not_found"

    def __init__(self) -> None:
        super().__init__(
            "This post does not exist. It may be deleted, or belong to another organization."
        )


class GroupNotFound(NotFound):
    """There is no such group in this organization, or all its posts were deleted."""

    code = "group_not_found"

    def __init__(self) -> None:
        super().__init__(
            "This group of posts does not exist. It may be deleted, or belong to "
            "another organization."
        )


class TagNotFound(NotFound):
    """There is no such tag in this organization."""

    code = "tag_not_found"

    def __init__(self) -> None:
        super().__init__(
            "This tag does not exist. It may be deleted, or belong to another organization."
        )


class TagTaken(Conflict):
    """Another tag of the organization has that name."""

    code = "tag_taken"

    def __init__(self, name: str) -> None:
        words = f"A tag named {name!r} already exists. Choose another name."
        super().__init__(words, problems=[FieldProblem("name", self.code, words)])


class TooManyTags(Conflict):
    """The organization has the maximum number of tags."""

    code = "too_many_tags"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"Your organization has reached its limit of {most:,} tags. Delete one first."
        )


class MayNotCompose(Forbidden):
    """The member may read but not write."""

    code = "may_not_compose"

    def __init__(self) -> None:
        super().__init__("Viewers cannot write or change posts. Ask an admin for a higher role.")


class _StateForbids(Conflict):
    """The post's state does not allow the request; `errors` has the current state and revision."""

    def __init__(self, message: str, state: PostState, revision: int) -> None:
        now = f"The post is {state} at revision {revision}."
        problems = [
            FieldProblem("state", str(state), now),
            FieldProblem("revision", str(revision), now),
        ]
        super().__init__(message, problems=problems)


class PostIsPublishing(_StateForbids):
    """The post is being published right now."""

    code = "post_is_publishing"

    def __init__(self, revision: int) -> None:
        super().__init__(
            "This post is being published right now. Look again in a minute.",
            PostState.PUBLISHING,
            revision,
        )


class PostIsPublished(_StateForbids):
    """The post, or a part of it, is already published."""

    code = "post_is_published"

    def __init__(self, revision: int) -> None:
        super().__init__(
            "This post, or a part of it, is already published. Duplicate it to post it again. "
            "Parts that are not out yet can be resent or deleted by their own ids.",
            PostState.PUBLISHED,
            revision,
        )


class TimeIsOver(_StateForbids):
    """The post would be queued for a time that has passed, without a request to publish it now."""

    code = "time_is_over"

    def __init__(self, publish_at: datetime, state: PostState, revision: int) -> None:
        super().__init__(
            f"The time of this post, {clock.to_wire(publish_at)}, has passed. Choose a new time, or publish it now.",
            state,
            revision,
        )


class Unconfirmed(_StateForbids):
    """The post may be on its platform. It must not be sent again before a member has checked."""

    code = "unconfirmed"

    def __init__(self, where: str, revision: int) -> None:
        super().__init__(
            f"This post may already be on {where}: the platform did not give a clear answer. Look there first. If the "
            "post is there, confirm it with its address. If it is not, resend it or delete it.",
            PostState.UNCONFIRMED,
            revision,
        )


class NotApproved(_StateForbids):
    """The post is in review or was declined, so it is not sent."""

    code = "not_approved"

    def __init__(self, state: PostState, revision: int) -> None:
        super().__init__(
            "This post is not approved, so it cannot be sent. Ask somebody who may approve it.",
            state,
            revision,
        )


class MayNotDecide(Forbidden):
    """Somebody else decides on the step that the post waits for."""

    code = "may_not_decide"

    def __init__(self, step: str) -> None:
        super().__init__(
            "This post waits for the client's approval, so nobody in the team decides on it."
            if step == "client"
            else "You may not approve posts. Ask an admin for the right, or somebody who has it."
        )


class NotInReview(Conflict):
    """The post does not wait for approval."""

    code = "not_in_review"

    def __init__(self) -> None:
        super().__init__("This post does not wait for approval. Reload it.")


class AlreadyDecided(_StateForbids):
    """Somebody else has decided before; the message says who and how."""

    code = "already_decided"

    def __init__(
        self, outcome: str, name: str, at: datetime, state: PostState, revision: int
    ) -> None:
        super().__init__(
            f"{name} {outcome} this post at {clock.to_wire(at)}. Reload it.", state, revision
        )
        self.problems = (*self.problems, FieldProblem("decision", outcome, self.message))


class ReviewIsOverdue(_StateForbids):
    """The time of the post has passed before it was approved."""

    code = "review_is_overdue"

    def __init__(self, publish_at: datetime, state: PostState, revision: int) -> None:
        super().__init__(
            f"The time of this post, {clock.to_wire(publish_at)}, has passed. Approve it with a new `date`.",
            state,
            revision,
        )


class ApprovalIsOff(_StateForbids):
    """Nobody can ask for approval where it is switched off."""

    code = "approval_is_off"

    def __init__(self, state: PostState, revision: int) -> None:
        super().__init__(
            "Approval is switched off for this channel. Schedule the post, or ask an admin to switch it on.",
            state,
            revision,
        )


class MayBePublished(_StateForbids):
    """The post may be on its platform, and the author may not change it without approval."""

    code = "may_be_published"

    def __init__(self, state: PostState, revision: int) -> None:
        super().__init__(
            "This post may already be on its platform, so it cannot wait for approval. Confirm it "
            "or resend it as it is, or ask somebody who may approve posts to change it.",
            state,
            revision,
        )


class MoveForbidden(_StateForbids):
    """No member may move a post between these states."""

    code = "move_forbidden"

    def __init__(self, before: PostState, after: PostState, revision: int) -> None:
        super().__init__(
            f"A post that is {before} cannot become {after}. Reload it and check its state.",
            before,
            revision,
        )


class PostChanged(_StateForbids):
    """The post was changed since the caller read it."""

    code = "post_changed"

    def __init__(self, state: PostState, revision: int) -> None:
        super().__init__(
            "Somebody changed this post after you loaded it. Reload it and make your change again.",
            state,
            revision,
        )


class NotWaitingForYou(_StateForbids):
    """Members can resend or confirm only failed and unconfirmed parts."""

    code = "not_waiting_for_you"

    def __init__(self, state: PostState, revision: int) -> None:
        super().__init__(
            f"This part is {state}, so it cannot be confirmed or resent. Reload the post.",
            state,
            revision,
        )


class PredecessorFirst(_StateForbids):
    """The part before is not on the platform, so this one has nothing to reply to."""

    code = "predecessor_first"

    def __init__(self, state: PostState, revision: int) -> None:
        super().__init__(
            "The part before this one is not published. Resend that one first.",
            state,
            revision,
        )


class CannotCheck(Unavailable):
    """The platform does not answer, so the address or id cannot be checked."""

    code = "cannot_check"

    def __init__(self, platform: str, reason: str) -> None:
        super().__init__(
            f"Roost cannot check this because {platform} does not answer. The post stays "
            f"unchanged, and nothing was sent. Try again later. {reason}"
        )


class ReleaseTaken(Conflict):
    """Another post of the channel already has this release."""

    code = "release_taken"

    def __init__(self) -> None:
        super().__init__("Another post already has this address. Copy the address of this post.")


class ReleaseKnown(Conflict):
    """The post's address on its platform is already known."""

    code = "release_known"

    def __init__(self) -> None:
        super().__init__(
            "You can only set the address of a published post whose address is unknown."
        )


class ReplyNotPost(Conflict):
    """The id is a reply's, but the request applies to whole posts."""

    code = "reply_not_post"

    def __init__(self, root_id: PostId) -> None:
        super().__init__(f"This id belongs to a reply. Use the id of its post: {root_id}.")
        self.root_id = root_id


class TooLateToSchedule(InvalidInput):
    """The time to publish has passed."""

    code = "date_in_the_past"

    def __init__(self, path: str, grace: timedelta, *, takes_type: bool = True) -> None:
        minutes = round(grace.total_seconds() / 60)
        ago = f"{minutes} minutes" if minutes < 60 else f"{minutes // 60} hours"
        remedy = ", or send type `now`" if takes_type else ""
        words = f"This time is more than {ago} ago. Choose a later one{remedy}."
        super().__init__(words, problems=[FieldProblem(path, self.code, words)])
