SELECT namespace, key, type, value, created, updated, tenant, description, expires
FROM kv
WHERE tenant = $1 AND namespace = $2 AND key = $3
