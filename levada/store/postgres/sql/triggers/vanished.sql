SELECT tenant, namespace, flow_id
FROM trigger_flow AS s
WHERE NOT EXISTS (
    SELECT 1 FROM flow AS f
    WHERE (f.tenant, f.namespace, f.id) = (s.tenant, s.namespace, s.flow_id) AND (NOT f.draft OR f.deleted)
)
