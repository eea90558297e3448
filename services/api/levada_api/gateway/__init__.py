"""The worker gateway: what workers in processes of their own ask of the control plane. Read `door.py` first.

door.py     who may come in: the workers' token, and the claims of attempts
work.py     claim, renew, cancelled, report, hello: the worker for itself
lines.py    log lines and metrics of tasks
task.py     secrets, keys, control: on behalf of a task
files.py    internal storage, on behalf of a task
"""
