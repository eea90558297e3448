DELETE FROM task_run t
USING unnest($1::text[], $2::text[]) AS d (execution_id, id)
WHERE EXISTS (SELECT FROM gate) AND t.execution_id = d.execution_id AND t.id = d.id
