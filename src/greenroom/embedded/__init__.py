"""The AWS in a box: ministack's control plane with Greenroom's Lambda engine under it, on one machine, loopback only.

* `process` is how others see it: start, stop, find. The server is a process of its own, because ministack's state is a
  Python process's.
* `server` is that process: settles ministack's settings, then serves it.
* `gateway` stands before ministack: which hosts and paths are answered at all.
* `seam` is the one place where the engine takes the place of ministack's own Lambda executor.
* `iam` checks what ministack does not: the roles of functions, state machines and stacks where they act through others.
* `decisions` records every authorization, so that tests can tell which statement of a role is needed.

Knows nothing of the platform: it is an AWS like any other.
"""

from greenroom.embedded.process import EmbeddedAws, StartFailed

__all__ = ["EmbeddedAws", "StartFailed"]
