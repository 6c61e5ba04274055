"""Lambda's data plane: functions are invoked here, by callers, by events and by event sources.

* `payload` checks what is sent, `routing` picks an alias's version, `concurrency` counts what runs at once: all pure or
  nearly so.
* `execution` runs one invocation on the engine and writes its log.
* `requests` answers Invoke and its kin.
* `events` is the queue of asynchronous invocations, `attempts` decides what follows an attempt, `destinations` tells
  how it ended.
* `sources` reads queues and streams for event source mappings.
* `ports` says what all this needs of the rest of AWS.
* `room` puts it together.
"""

from greenroom.lambda_api.invoke.room import Room, Settings, operations

__all__ = ["Room", "Settings", "operations"]
