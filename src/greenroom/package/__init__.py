"""What an algorithm's package is: its metadata, reading it safely, checking it. All of this runs inside AWS too.

* `metadata` is the model of `metadata.json`.
* `archive` reads a ZIP that may be hostile and writes what was read, `directory` is the ZIP's own list, `paths` says
  which names are allowed.
* `check` says whether a ZIP is a package: `cases` are its tests, `sources` its Python. `apart` is the process for this.
* `errors` is how a fault of a package is reported; `runtime_modules` lists what Lambda brings along.

Everything a stranger can send is bounded here, in size, count, depth and time. Knows nothing of AWS but its limits.
Making a package and running its tests is the developer's part: that is the room `workbench`.
"""
