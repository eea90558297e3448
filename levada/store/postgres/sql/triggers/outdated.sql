-- $1 format, $2 limit; triggers.py puts in_force.sql where it is named in braces.
SELECT f.tenant, f.namespace, f.id, f.revision, f.source, f.updated, f.disabled, f.deleted, f.draft,
       f.labels::text, f.description
FROM ({in_force}) AS latest
JOIN flow AS f USING (tenant, namespace, id, revision)
LEFT JOIN trigger_flow AS s ON (s.tenant, s.namespace, s.flow_id) = (f.tenant, f.namespace, f.id)
WHERE s.revision IS DISTINCT FROM f.revision OR s.format < $1
LIMIT $2
