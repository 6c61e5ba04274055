"""The Lambda engine: runs functions as AWS Lambda does, with a memory size that means what it says.

    engine.invoke(invocation) ─► pool ─► execution environment ─► sandbox (CPU, memory, files) ─► awslambdaric

* `spec` has the plain data: what a function version is, what an invocation takes and gives back.
* `code` unpacks code and layers once, read-only, by their SHA-256.
* `capability` says which runtimes the engine can run, and why not another one.
* `zygote` is the prepared process: it has imported AWS's runtime client already, and every environment is a fork of it,
  in namespaces of its own. What runs inside is in `runtime/`: standard library and `awslambdaric` only. There `jail`
  is the root that functions see, `place` the namespaces of one, `confine` what it may not do, and `forwarder` its way
  to the endpoint.
* `interpreters` finds what a function's runtime runs on.
* `cgroup` gives an environment its share of CPU (`MemorySize / 1769` of one vCPU) and its memory ceiling, and freezes
  it between invocations; `watched` and `runtime/watcher.py` do so where control groups are out of reach.
* `quiet` gives measured invocations cores of their own, and finds out what disturbed them.
* `conversation` says what counts of all that a runtime may say; `frames` and `runtime_api` are the two ways to say it.
* `environment` is one environment's life: init, invoke, freeze, and every way in which it may end.
* `pool` hands out environments: one invocation each, the same function version always to the same environments; `turns`
  decides who gets or starts one next, and how many may stand idle.
* `result` turns an outcome into payload and figures, `report` writes START, END, REPORT and INIT_START as Lambda does.

The engine is the half of Lambda that AWS does not publish; for Python the other half, loading the handler, the context,
marshalling and error payloads, is `awslambdaric` itself, which gets an object to talk to in place of its HTTP client.
The engine knows nothing of Greenroom's platform and nothing of the emulator above it.
"""

from greenroom.engine.capability import can_honour, can_run
from greenroom.engine.cgroup import Isolation, isolation
from greenroom.engine.pool import Engine, Limits
from greenroom.engine.spec import FunctionSpec, Invocation, InvokeResult, LayerCode

__all__ = [
    "Engine",
    "FunctionSpec",
    "Invocation",
    "InvokeResult",
    "Isolation",
    "LayerCode",
    "Limits",
    "can_honour",
    "can_run",
    "isolation",
]
