-- Timers that an older version armed have no partition: whoever has the first one fires them.
SELECT execution_id, seq, kind, due, task_run_id
FROM timer
WHERE NOT fired AND due <= $1 AND ($3::int[] IS NULL OR coalesce(part, 0) = ANY ($3::int[]))
ORDER BY due
LIMIT $2
