"""What runs on the function's side: the prepared process, and the environments that are forked from it.

Standard library and `awslambdaric` only. The engine starts it by path and never imports it: a function must find
nothing of Greenroom in its process.
"""
