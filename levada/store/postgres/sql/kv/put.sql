INSERT INTO kv AS k (namespace, key, type, value, created, updated, tenant, description, expires)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant, namespace, key) DO UPDATE
SET type = excluded.type, value = excluded.value, updated = excluded.updated, description = excluded.description,
    expires = excluded.expires,
    created = CASE WHEN k.expires <= excluded.updated THEN excluded.created ELSE k.created END
WHERE $10::bool OR k.expires <= excluded.updated
