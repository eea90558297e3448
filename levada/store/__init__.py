"""What is kept in Postgres. `port.py` is the contract, `postgres/` and `memory/` its adapters, `embedded/` the server."""
