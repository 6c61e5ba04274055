"""The developer's part of a package: starting one, building it, running its tests on this machine.

* `scaffold` writes a folder to start from; `build` makes a ZIP from a folder.
* `requirements` reads which dependencies it has, `installing` has pip install them, and `run_pip` is that process.
* `local` runs a package's tests in the equipment's own code; `run_case` is the process that runs one of them.

This room starts pip and runs the developer's code, so it is never shipped to Lambda. It imports `package` only.
"""
