import subprocess
import sys

import pytest

from shared.channels.schemas import provider_out
from shared.providers.registry import slugs, specs

HEAVY = ("nh3", "regex", "fastapi", "sqlalchemy", "boto3", "PIL")


@pytest.mark.parametrize("slug", slugs())
def test_importing_one_provider_imports_no_other_platform_and_nothing_heavy(slug: str) -> None:
    code = (
        "import sys\n"
        "from shared.providers.registry import provider\n"
        f"name = type(provider({slug!r})).__module__\n"
        "platforms = [m for m in sys.modules if m.startswith('shared.providers.platforms.') and m != name]\n"
        f"print(platforms, [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[] []"


def test_names_fit_into_sentences_and_tell_platforms_apart_in_lists() -> None:
    """`Mastodon (any server) allows at most 500 characters` is how a list names it, not a sentence."""
    listed = [provider_out(slug).name for slug in slugs()]
    assert len(set(listed)) == len(listed)
    assert not [spec.name for spec in specs() if "(" in spec.name]
