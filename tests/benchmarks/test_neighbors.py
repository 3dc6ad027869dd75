"""Finding 2.2: a quiet organization beside one whose server takes 28 seconds for each of 200 posts."""

import pytest

from benchmarks.neighbors import Bounds, declared_bounds, simulate_neighbors


class TestNeighbors:
    @pytest.mark.parametrize("hosts", [1, 20])
    def test_a_quiet_one_is_on_time(self, hosts: int) -> None:
        """Finding 2.2: p99 under two seconds, and the slow one holds no more environments than it has places."""
        found = simulate_neighbors(declared_bounds(), hosts=hosts)
        assert found.p99 < 2
        assert found.environments_held <= (declared_bounds().per_organization or 0)

    def test_without_bounds_it_is_not(self) -> None:
        """Finding 2.2: the simulation sees what the bounds are for."""
        assert simulate_neighbors(Bounds(None, None), max_concurrency=20).p99 > 20

    def test_many_hosts_need_the_bound_of_the_organization(self) -> None:
        """Finding 2.2: a bound for each host alone is none for who names many."""
        per_host = Bounds(declared_bounds().per_host, None)
        assert simulate_neighbors(per_host, hosts=50, max_concurrency=20).p99 > 20
