"""Lambda's API, served over durable records: the control plane of the engine.

* `model` is botocore's model of Lambda: a call is checked against it before anything else, and answers are written by
  it.
* `api` has the table of operations, `operations/` the operations, each a small function of the room and a call.
* `functions` has the records of functions, versions and aliases; `code` their ZIP files; `configuration` what a
  function's configuration is.
* `runtimes` says which runtimes AWS takes and which this machine runs; `errors` has AWS's errors.
* `ports` is what Lambda needs of the rest of AWS, as small protocols that `embedded` implements.
* `invoke/` runs functions: Invoke, asynchronous invocation, event sources.

An operation or a feature that is not served is refused by name. This room knows nothing of Greenroom's platform and
nothing of the emulator.
"""

from greenroom.lambda_api.api import LambdaApi, Settings
from greenroom.lambda_api.calls import Answer, Call, Handler, Response
from greenroom.lambda_api.errors import LambdaError

__all__ = ["Answer", "Call", "Handler", "LambdaApi", "LambdaError", "Response", "Settings"]
