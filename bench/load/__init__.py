"""The platform under load: see `python -m bench.load --help`."""
