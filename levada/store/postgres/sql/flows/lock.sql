-- Writers of one flow take turns; readers are not concerned.
SELECT pg_advisory_xact_lock(hashtextextended($1, 0))
