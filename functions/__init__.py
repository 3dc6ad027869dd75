"""What API Gateway, queues and schedules call: one package for each function, one file in it.

A cold start makes many objects that all stay, and looking through them for garbage takes a tenth of its processor time.
So the collector runs less often (docs/performance.md, "Cold starts").
"""

import gc

ALLOCATIONS_BETWEEN_COLLECTIONS = 20_000  # instead of Python's 700 or 2,000
gc.set_threshold(ALLOCATIONS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
