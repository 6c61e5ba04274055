"""What an algorithm's package is: its metadata, reading it safely, checking it, building it, running its tests here.

* `metadata` is the model of `metadata.json`.
* `archive` reads a ZIP that may be hostile; `check` says whether a ZIP is a package.
* `build` makes a ZIP from a folder, `scaffold` a folder to start from.
* `local` runs a package's tests on the developer's machine, in the equipment's own code.

Everything a stranger can send is bounded here, in size, count, depth and time. Knows nothing of AWS but its limits.
"""
