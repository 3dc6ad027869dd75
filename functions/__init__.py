"""The Lambda functions that API Gateway, queues and schedules invoke: one package with one file for each.

A cold start creates many objects that all stay, and searching them for garbage takes a tenth of its processor time.
So the garbage collector runs less often (docs/performance.md, "Cold starts").
"""

import gc

ALLOCATIONS_BETWEEN_COLLECTIONS = 20_000  # instead of Python's 700 or 2,000
gc.set_threshold(ALLOCATIONS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
