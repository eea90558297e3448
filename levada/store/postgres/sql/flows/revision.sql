SELECT namespace, id, revision, source, updated, tenant, disabled, deleted, draft, labels::text, description
FROM flow
WHERE tenant = $1 AND namespace = $2 AND id = $3 AND revision = $4
