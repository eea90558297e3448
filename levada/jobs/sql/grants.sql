SELECT t.execution_id, t.id, t.attempt, t.token, t.lease, t.lease_until, e.tenant, e.namespace, e.flow_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS held (execution_id, id, token)
JOIN task_run t ON t.execution_id = held.execution_id AND t.id = held.id AND t.token = held.token
JOIN execution e ON e.id = t.execution_id
