DELETE FROM kv
WHERE (tenant, namespace, key) IN (
    SELECT tenant, namespace, key FROM kv WHERE expires <= $1 ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED
)
