"""The command `greenroom`: each command parses its options, calls one other room, and prints what came back.

* `main` puts the commands together; `common` has the options and output that they share.
* `local` (up, down, env, doctor), `demo`, `develop` (init, pack, test), `push`, `look` (status, algorithms, releases,
  show, logs), `operate` (send, rollback, failures, redrive), `tune` and `deploying` (deploy) are the commands, in the
  order of `greenroom --help`. They import the rooms that they call inside the command, so that `--help` and shell
  completion answer at once.
* `checks` is what `doctor` looks at, `run_file` is how a platform on this machine is found.
* `live`, `render` and `charts` draw and know nothing of HTTP; `text` writes numbers; `errors` has the exit codes.
"""
