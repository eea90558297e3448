-- Declaring is done by one at a time, each seeing what the former wrote; whoever comes second leaves it.
SELECT pg_try_advisory_xact_lock(hashtextextended('levada/triggers/declare', 0))
