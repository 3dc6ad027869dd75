"""The refusals of a plan. Each says which section of the plan it is about, and the smallest plan that would be enough."""

from typing import Any

from shared.billing.plans import Allowances, Plan, smallest_plan
from shared.billing.sections import SECTIONS, Action, Kind, Section
from shared.core.config import settings
from shared.core.errors import PlanLimit


class NotInPlan(PlanLimit):
    """The plan does not include a flag."""

    code = "not_in_plan"

    def __init__(self, flag: Section, action: Action, allowances: Allowances) -> None:
        plan, needed = allowances.plan.upper(), smallest_plan(flag)
        super().__init__(
            f"Your plan ({plan}) does not include {SECTIONS[flag].words}. {_larger(needed)}"
        )
        self.details = details(flag, action, allowances, needed=needed)


class PlanUsedUp(PlanLimit):
    """The plan includes fewer of a level or a flow than the request needs."""

    def __init__(
        self, section: Section, action: Action, allowances: Allowances, *, used: int, more: int = 1
    ) -> None:
        plan, limit = allowances.plan.upper(), allowances.limit(section) or 0
        needed = needed_plan(section, allowances, used + more)
        super().__init__(
            f"Your plan ({plan}) includes {limit:,} {SECTIONS[section].words}. {used:,} are used, "
            f"and this needs {more:,} more. {_larger(needed, section, allowances)}"
        )
        self.details = details(section, action, allowances, used=used, needed=needed)


def needed_plan(section: Section, allowances: Allowances, number: int) -> Plan | None:
    """Return the smallest plan that includes `number` of a section, with what the organization has in addition."""
    return smallest_plan(section, number - allowances.extra.get(section, 0))


def details(
    section: Section,
    action: Action,
    allowances: Allowances,
    *,
    needed: Plan | None,
    used: int | None = None,
) -> dict[str, Any]:
    """Return a refusal's members of the problem details."""
    is_flag = SECTIONS[section].kind is Kind.FLAG
    return {
        "section": section.value,
        "action": action.value,
        "limit": None if is_flag else allowances.limit(section),
        "used": used,
        "plan": allowances.plan.upper(),
        "neededPlan": needed.upper() if needed else None,
        "url": f"{settings().console_url}/billing",
    }


def _larger(
    needed: Plan | None, section: Section | None = None, allowances: Allowances | None = None
) -> str:
    if needed:
        return f"Choose the plan {needed.upper()} or a larger one."
    if section and SECTIONS[section].kind is Kind.FLOW:
        begins = allowances.next_month if allowances else None
        return "Wait until the next billing month" + (f", from {begins} (UTC)." if begins else ".")
    return "Delete some that you no longer need."
