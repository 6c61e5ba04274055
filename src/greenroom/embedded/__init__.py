"""The AWS in a box: ministack's control plane with Greenroom's Lambda engine under it, on one machine, loopback only.

* `process` is how others see it: start, stop, find. The server is a process of its own, because ministack's state is a
  Python process's.
* `server` is that process: it sets ministack's settings, then serves it.
* `front` stands before all services: who calls, which operation, and may they; parsed once, denied by default.
* `lambda_wiring` puts Lambda (`lambda_api`, over the engine) in the place of ministack's, `lambda_callers` and
  `lambda_stacks` have ministack's services reach it, `adapters` is what it needs of them.
* `durable` keeps ministack's state in the store; `folder` is the data folder, and `backup` makes and restores copies of
  it; `previous` and `lambda_previous` take over the data of the release before the store. `retention` deletes what is
  past its time, `error_log` keeps the log short.
* `iam` checks what ministack does not: the roles of functions, state machines and stacks where services act in them.
* `iam_log` records every authorization, so that tests can say which statement of a role is needed.

It knows nothing of the platform: it is an AWS like any other.
"""

from greenroom.embedded.process import EmbeddedAws, StartFailed

__all__ = ["EmbeddedAws", "StartFailed"]
