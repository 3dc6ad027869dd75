"""What the decision table needs to know of an attempt, read off its claim and its provider's table."""

from shared.providers import registry
from shared.providers.base import CanLookUp, Provider
from shared.providers.registry import UnknownProvider
from shared.providers.spec import Idempotency, IdempotencyForm
from shared.publishing.claim import Claim
from shared.publishing.outcome import AttemptContext, Task


def attempt_context(claimed: Claim, *, sent: bool, refreshed: bool) -> AttemptContext:
    """Gather the context. A platform that Roost no longer knows promises nothing, nor does a server not known lately."""
    provider = _find_provider(claimed.part.channel.provider)
    channel = claimed.part.channel
    promise = (
        provider.promise(channel.account_settings, at=claimed.part.read_at)
        if provider
        else Idempotency()
    )
    return AttemptContext(
        number=claimed.number,
        sent=sent,
        accepted=claimed.accepted,
        doubt_age=claimed.doubt_age,
        has_key=promise.form is not IdempotencyForm.NONE,
        key_is_record=promise.form is IdempotencyForm.RECORD_KEY,
        key_lifetime=promise.lifetime,
        can_look_up=isinstance(provider, CanLookUp),
        refreshed=refreshed,
        task=task_of(claimed),
        request_ended=bool(claimed.progress.get("request_ended")),
        repetitions=int(claimed.progress.get("repeated", 0)),
        rounds=int(claimed.progress.get("rounds", 0)),
        age=claimed.age,
    )


def _find_provider(slug: str) -> Provider | None:
    try:
        return registry.provider(slug)
    except UnknownProvider:
        return None


def task_of(claimed: Claim) -> Task | None:
    """Return what a continuation is to do; None for a first try."""
    name = claimed.progress.get("task")
    return Task(name) if name else None
