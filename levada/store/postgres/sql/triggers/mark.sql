-- Whatever a later transaction writes, and whatever is not committed yet, has this number or a higher one.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text
