"""What is made together: the ids of decisions."""

import itertools
import re

from bandit_router.service.batch import _random_ids


def test_ids_are_alike_to_nobody_and_rise_so_that_an_index_grows_at_its_end():
    ids = list(itertools.islice(_random_ids(), 1024))
    assert len(set(ids)) == 1024
    assert all(re.fullmatch(r"[0-9a-f]{8}[A-Za-z0-9_-]{16}", id_) for id_ in ids)
    assert sum(a > b for a, b in itertools.pairwise(ids)) <= 3  # where the system is asked again
