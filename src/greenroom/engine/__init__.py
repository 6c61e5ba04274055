"""The Lambda engine: runs functions as AWS Lambda does, with a memory size that means what it says.

    engine.invoke(spec, payload) ─► pool ─► execution environment ─► sandbox (CPU, memory, files) ─► awslambdaric

* `spec` has the plain data: what a function version is, what an invocation gives back.
* `code` unpacks code and layers once, read-only, by their SHA-256.
* `zygote` is a process that has imported AWS's runtime client already; every environment is a fork of it, in name
  spaces of its own. What runs inside is in `runtime/`: standard library and `awslambdaric` only.
* `interpreters` finds the Python that a function's runtime asks for.
* `cgroup` gives an environment its share of CPU (`MemorySize / 1769` of one vCPU), its memory ceiling, and stands it
  still between invocations.
* `environment` is one environment's life: init, invoke, freeze, and every way in which it may end.
* `pool` hands out environments: one invocation each, the same function version always to the same environments.
* `report` writes the lines START, END, REPORT and INIT_START as Lambda does.

The engine is the half of Lambda that AWS does not publish; the other half, loading the handler, the context,
marshalling and error payloads, is `awslambdaric` itself, which is given an object to talk to in place of its HTTP
client. The engine knows nothing of Greenroom's platform and nothing of the emulator above it.
"""

from greenroom.engine.cgroup import Isolation, isolation
from greenroom.engine.pool import Engine
from greenroom.engine.spec import FunctionSpec, InvokeResult, LayerCode

__all__ = ["Engine", "FunctionSpec", "InvokeResult", "Isolation", "LayerCode", "isolation"]
