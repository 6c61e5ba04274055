"""What runs on the function's side: the prepared process, and the environment that is forked from it.

Standard library and `awslambdaric` only, and started by path, not imported by the rest of the engine: a function must
find nothing of Greenroom in its process.
"""
