"""Where unexpected errors go besides the log: a Sentry-compatible address, when one is configured.

The SDK is imported at the first error, so that a start pays nothing for it.
"""

import functools
from types import ModuleType

from shared.core.config import settings
from shared.core.ids import new_id
from shared.core.log import log, redact
from shared.core.metrics import count_unexpected

_FLUSH_SECONDS = 2.0  # the container may be frozen as soon as the answer is out


def report(error: BaseException, **where: str) -> str:
    """Log an unexpected error with its stack, send it on, and return the incident's id for the member to quote."""
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
