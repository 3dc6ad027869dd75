"""How much memory do the publishers' prepared statements take in the database?"""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from layers.build import read_template
from shared.db.session import dispose, read_only
from tests.conftest import Configure
from tests.database.test_plans import CAPACITY_UNIT, MB, PLANS
from tests.shared.publishing.world import World, a_thread
from tests.template.test_stages import _parameters

# Stated in docs/adr/0005-pg8000-in-one-flush.md.
MOST_A_PUBLISHER = 4 * MB


@pytest.fixture
def publisher(world: World, configure: Configure) -> Iterator[World]:
    """Publish on one connection, as a Lambda function does; the world has connections of its own."""
    dispose()
    configure(DATABASE_POOL_SIZE=1)
    yield world
    world.engine.dispose()


def test_all_publishers_together_take_a_fifth_of_the_smallest_capacity(publisher: World) -> None:
    for _ in range(10):
        a_thread(publisher, "keyless", due_in=timedelta(0))
    publisher.deliver_due()
    with read_only() as session:
        assert session.execute(text("select count(*) from pg_prepared_statements")).scalar_one() > 3
        bytes_a_publisher = session.execute(PLANS).scalar_one()
    assert MB < bytes_a_publisher < MOST_A_PUBLISHER
    publishers = read_template()["Parameters"]["PublishConcurrency"]["Default"]
    smallest = float(_parameters("prod")["DatabaseMinCapacity"]) * CAPACITY_UNIT
    assert publishers * MOST_A_PUBLISHER <= smallest / 5
