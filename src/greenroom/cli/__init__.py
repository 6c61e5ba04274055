"""The command `greenroom`: parses, calls one room of the house, and shows what came back.

One file per group of commands: `local` (up, down, env, doctor), `develop` (init, pack, test), `push`, `look` (status,
algorithms, releases, show, logs), `operate` (send, rollback) and `demo`. They import the rooms they call inside the
command, so that `greenroom --help` and shell completion answer at once. `render`, `plot` and `live` draw and know
nothing of HTTP; `common` holds what all commands share.
"""
