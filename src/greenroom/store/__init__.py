"""One durable store: records in named tables, in one SQLite file.

* `store` has the API. A write is visible at once. One thread commits the writes in groups, and `barrier` returns when
  what was written so far is on disk.
* `database` is the file: its format, its checksums, what it refuses to open.
* `errors` are what callers handle.

It knows nothing of who uses it, and needs the standard library only.
"""

from greenroom.store.errors import DamagedStore, NewerStore, StoreError, StoreUnavailable
from greenroom.store.store import Ledger, Store, Table

__all__ = ["DamagedStore", "Ledger", "NewerStore", "Store", "StoreError", "StoreUnavailable", "Table"]
