SELECT t.tenant, t.namespace, t.flow_id, t.trigger_id, t.type, t.revision, t.active, t.disabled, t.next_slot, t.probe,
       t.last_slot, t.last_fired, t.last_execution, t.skipped, t.note, t.error, t.updated,
       CASE WHEN NOT t.allow_concurrent AND e.ended IS NULL AND NOT e.deleted THEN e.id END AS waits_for
FROM trigger_state AS t
LEFT JOIN execution AS e ON e.id = t.last_execution
WHERE t.tenant = $1 AND ($2::text IS NULL OR t.namespace = $2) AND ($3::text IS NULL OR t.flow_id = $3)
ORDER BY t.namespace, t.flow_id, t.trigger_id
