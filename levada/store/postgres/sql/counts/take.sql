-- The marks go first: whoever marks again from now on waits for this transaction, and the mark stays for the next.
WITH chosen AS (
    SELECT tenant, at FROM execution_count_mark ORDER BY at DESC, tenant LIMIT $1
)
DELETE FROM execution_count_mark m
USING chosen c
WHERE m.tenant = c.tenant AND m.at = c.at
RETURNING m.tenant, m.at
