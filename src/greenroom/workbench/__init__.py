"""The developer's part of a package: starting one, building it, running its tests on this machine.

* `scaffold` writes a folder to start from; `build` makes a ZIP from a folder, with its dependencies.
* `local` runs a package's tests in the equipment's own code; `run_case` is the process that runs one of them.

This room starts pip and runs the developer's code, so it is never shipped to Lambda. It imports `package` only.
"""
