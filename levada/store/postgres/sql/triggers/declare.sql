-- $14 now. `stop_after` comes as JSON, because arrays of arrays are rectangular.
INSERT INTO trigger_state AS t (
    uid, tenant, namespace, flow_id, trigger_id, type, revision, shard, definition, signature, allow_concurrent,
    stop_after, active, enabled_at, next_slot, probe, updated
)
SELECT d.uid, d.tenant, d.namespace, d.flow_id, d.trigger_id, d.type, d.revision, d.shard, d.definition, d.signature,
       d.allow_concurrent,
       CASE WHEN d.stop_after IS NULL THEN NULL
            ELSE ARRAY(SELECT jsonb_array_elements_text(d.stop_after::jsonb)) END,
       d.active, $14::bigint, CASE WHEN d.active THEN $14::bigint END, true, $14::bigint
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::int[], $9::text[],
            $10::text[], $11::bool[], $12::text[], $13::bool[])
     AS d(uid, tenant, namespace, flow_id, trigger_id, type, revision, shard, definition, signature, allow_concurrent,
          stop_after, active)
ON CONFLICT (uid) DO UPDATE
SET type = excluded.type,
    revision = excluded.revision,
    definition = excluded.definition,
    signature = excluded.signature,
    allow_concurrent = excluded.allow_concurrent,
    stop_after = excluded.stop_after,
    active = excluded.active,
    next_slot = CASE
        WHEN NOT excluded.active OR t.disabled THEN NULL
        WHEN t.next_slot IS NOT NULL AND t.error IS NULL AND t.signature = excluded.signature THEN t.next_slot
        ELSE excluded.next_slot
    END,
    probe = t.probe OR t.next_slot IS NULL OR t.error IS NOT NULL OR t.signature <> excluded.signature,
    error = NULL,
    updated = excluded.updated
