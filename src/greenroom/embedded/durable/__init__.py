"""ministack's state in the store: what a request changed is on disk before its answer leaves.

ministack holds its state in dictionaries of its modules. Each of them is replaced by one that notes which records a
request reads or writes (`marks`). When the request ends, these records are compared with what was written of them last,
and what differs becomes one transaction of the store (`effects`). So nothing has to be known about the operations of a
service, and the state that did not change is not looked at.

* `shelves` keeps a dictionary whose records are small: most of them are. `codec` is how a record is written.
* `tables`, `queues`, `objects` and `logs` keep what is too large for one record: a table's items, a queue's messages, a
  bucket's objects, the lines of logs. `histories` keeps lists that only grow: of `executions`, of `stacks`, of streams.
* `answers` holds an answer back until what it says is durable.
"""

from greenroom.embedded.durable.answers import DurableAnswers
from greenroom.embedded.durable.effects import Effects

__all__ = ["DurableAnswers", "Effects"]
