"""The hourly sweep for all features: deletes expired rows and cleans up the media library.

A new step is a function in its feature's `sweep.py` that returns how many rows it found, and an entry in `STEPS` or, if once a
day is enough, in `DAILY_STEPS`. A step does a
limited amount of work, commits by itself, and can be stopped between two transactions: the next hour continues.
"""

from collections.abc import Callable

from shared.apps.sweep import (
    delete_expired_device_codes,
    delete_old_codes,
    delete_revoked_grants,
    delete_unused_apps,
    delete_unused_grants,
)
from shared.audit.sweep import count_stray_entries, delete_old_addresses
from shared.channels.sweep import (
    delete_expired_oauth_states,
    delete_expired_reports,
    delete_old_pauses,
    follow_plans,
)
from shared.core.errors_report import report
from shared.core.log import log
from shared.identity.sweep import (
    delete_old_challenges,
    delete_old_devices,
    delete_old_guesses,
    delete_old_mailed_codes,
    delete_old_sessions,
)
from shared.media.sweep import remove_unneeded_files, request_examinations
from shared.media.sweep_queries import unneeded_files
from shared.organizations.company_login import check_old_domains
from shared.organizations.deletions import request_due_deletions
from shared.organizations.sweep import (
    delete_expired_idempotency_keys,
    delete_expired_offers,
    delete_old_impersonations,
    delete_old_invitations,
    delete_old_rate_limits,
    forget_never_activated,
    take_day,
    take_hour,
)
from shared.posts.media_use import MEDIA_STILL_NEEDED
from shared.posts.sweep import recount_usage
from shared.publishing.sweep import delete_old_stagings
from shared.webhooks.sweep import forget_old_deliveries

_UNNEEDED_FILES = unneeded_files(MEDIA_STILL_NEEDED)
"""List a page of the files that no post needs and no member can reach."""


def remove_unneeded_media() -> int:
    """Remove files that no post needs."""
    return remove_unneeded_files(_UNNEEDED_FILES)


STEPS: tuple[Callable[[], int], ...] = (
    delete_expired_oauth_states,
    delete_old_codes,
    delete_expired_device_codes,
    delete_revoked_grants,
    delete_unused_grants,
    delete_unused_apps,  # after the consents
    delete_expired_idempotency_keys,
    delete_expired_offers,
    delete_old_invitations,
    delete_old_pauses,
    delete_expired_reports,
    delete_old_rate_limits,
    delete_old_impersonations,
    delete_old_mailed_codes,
    delete_old_challenges,
    delete_old_sessions,
    delete_old_devices,
    delete_old_guesses,
    delete_old_addresses,
    count_stray_entries,
    delete_old_stagings,
    forget_old_deliveries,
    forget_never_activated,
    request_due_deletions,
    request_examinations,
    remove_unneeded_media,
    check_old_domains,  # it asks name servers, so it comes last
)

DAILY_STEPS: tuple[Callable[[], int], ...] = (
    follow_plans,
    recount_usage,
)


def keep_house(*, has_time: Callable[[], bool] = lambda: True) -> bool:
    """Run all steps if an hour has passed since the last run, and once a day those of the day; return whether they ran.

    Raises:
        ExceptionGroup: the errors of failed steps; the others have run.
    """
    if not take_hour():
        return False
    errors: list[Exception] = []
    steps = STEPS + DAILY_STEPS if take_day() else STEPS
    for done, step in enumerate(steps):
        if not has_time():
            log.warning("housekeeping.out_of_time", extra={"unfinished": len(steps) - done})
            break
        guarded(step, errors)
    if errors:
        raise ExceptionGroup("some steps of the housekeeping failed", errors)
    return True


def guarded(step: Callable[[], int], errors: list[Exception]) -> int:
    """Run a step. If it fails, report the error, add it to `errors` and return 0."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001  a row or a service that is broken must not keep the rest from running
        report(error)
        errors.append(error)
        return 0
