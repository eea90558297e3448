SELECT pg_try_advisory_xact_lock(hashtextextended('execution_count', 0))
