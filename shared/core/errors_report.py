"""Reports unexpected errors to the log and, if configured, to a Sentry-compatible address.

The SDK is imported at the first error, so that it does not slow the start.
"""

import functools
from types import ModuleType

from shared.core.config import settings
from shared.core.ids import new_id
from shared.core.log import log, redact
from shared.core.metrics import count_unexpected

_FLUSH_SECONDS = 2.0  # the container may be frozen right after the answer


def report(error: BaseException, **where: str) -> str:
    """Log an unexpected error with its stack, report it, and return the incident's id, which members can quote."""
    incident = str(new_id())
    count_unexpected()
    log.error("error.unexpected", exc_info=error, extra={"incident": incident, **where})
    if settings().sentry_dsn:
        sdk = _sdk()
        with sdk.new_scope() as scope:
            scope.set_tag("incident", incident)
            for key, value in redact(where).items():
                scope.set_tag(key, value)
            scope.capture_exception(error)
        sdk.flush(timeout=_FLUSH_SECONDS)
    return incident


@functools.cache
def _sdk() -> ModuleType:
    import sentry_sdk

    sentry_sdk.init(
        dsn=settings().sentry_dsn,
        environment=settings().stage,
        default_integrations=False,
        include_local_variables=False,  # they hold tokens and posts
        shutdown_timeout=_FLUSH_SECONDS,
    )
    return sentry_sdk
