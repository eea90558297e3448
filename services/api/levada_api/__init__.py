"""The api service: REST, server-sent events, health. Read `table.py` for the routes, `main.py` for how it is composed."""
