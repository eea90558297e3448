SELECT namespace, key, type, value, created, updated, tenant, description, expires
FROM kv
WHERE tenant = $1 AND ($2::text IS NULL OR namespace = $2) AND starts_with(key, $3)
ORDER BY namespace, key
