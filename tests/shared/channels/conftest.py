"""What tests of channels stand on: a key that seals tokens, and credentials of our applications."""

from collections.abc import Iterator

import pytest

from shared.aws import keys
from tests.conftest import Configure
from tests.shared.channels.builders import set_up_platforms


@pytest.fixture
def sealing(aws: None, configure: Configure) -> Iterator[None]:
    """Make the key service and the providers' secret as the template does."""
    set_up_platforms(configure)
    yield
    keys._sealer.cache_clear()
