INSERT INTO audit_log (id, at, tenant, who, action, kind, object, namespace, outcome, status, details, request_id, remote)
SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::int[], $11::text[], $12::text[], $13::text[]
)
