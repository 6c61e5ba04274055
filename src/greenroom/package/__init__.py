"""What an algorithm's package is: its metadata, reading it safely, checking it. All of this runs inside AWS too.

* `metadata` is the model of `metadata.json`.
* `archive` reads a ZIP that may be hostile; `check` says whether a ZIP is a package.
* `errors` is how a fault of a package is reported; `python_sdk` lists the libraries that Lambda brings along.

Everything a stranger can send is bounded here, in size, count, depth and time. Knows nothing of AWS but its limits.
Making a package and running its tests is the developer's part: that is the room `workbench`.
"""
