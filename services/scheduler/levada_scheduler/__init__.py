"""The scheduler service: fires schedules, once per date however many of it run. Start reading at `scheduler.py`."""
