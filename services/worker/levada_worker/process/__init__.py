"""Running child processes so that nothing of them is ever left behind.

`guard` is a small program of its own (one per worker) that starts every child under a supervisor; `guarded` is the
worker's side of it; `lines` and `markup` read what the children print.
"""
