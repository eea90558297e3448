INSERT INTO execution (
    id, tenant, namespace, flow_id, flow_revision, state, created, ended, parent_id, trigger_execution_id, kind,
    labels, deleted, seq, head
)
SELECT id, tenant, namespace, flow_id, flow_revision, state, created, ended, parent_id, trigger_execution_id, kind,
       labels::jsonb, deleted, seq, head
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::bigint[], $8::bigint[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::bool[], $14::int[], $15::text[]
) AS e (
    id, tenant, namespace, flow_id, flow_revision, state, created, ended, parent_id, trigger_execution_id, kind,
    labels, deleted, seq, head
)
WHERE EXISTS (SELECT FROM gate)
