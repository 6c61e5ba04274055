"""Input made to break what reads it, at random: a bounded number of cases with the other tests, more by command.

`python -m tests.hostile --seconds 600` goes on for as long as it is told to. A part is a function that makes one case
from a source of chance, gives it to what reads it, and says how it ended.
"""
