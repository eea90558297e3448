-- $1 now, $2 limit, $3 index and $4 count of shares, $5 from when on another share may be taken too, $6 until when a start
-- may be under way without an execution.
SELECT t.uid, t.revision, t.definition, t.next_slot, t.probe,
       CASE WHEN t.stop_after IS NULL THEN NULL ELSE (
           SELECT s.id || ' ended ' || s.state
           FROM trigger_fire AS f JOIN execution AS s ON s.id = f.execution_id
           WHERE f.uid = t.uid AND f.at >= t.enabled_at AND s.ended IS NOT NULL AND s.state = ANY (t.stop_after)
           LIMIT 1
       ) END AS stopped_by
FROM trigger_state AS t
LEFT JOIN execution AS e ON e.id = t.last_execution
WHERE t.next_slot <= $1
  AND (t.shard % $4 = $3 OR t.next_slot < $5)
  AND (t.allow_concurrent OR t.probe OR t.last_execution IS NULL OR e.ended IS NOT NULL OR e.deleted
       OR (e.id IS NULL AND t.last_fired < $6))
ORDER BY t.next_slot DESC
LIMIT $2
