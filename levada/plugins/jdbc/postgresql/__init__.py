"""`jdbc.postgresql.*` on asyncpg."""
