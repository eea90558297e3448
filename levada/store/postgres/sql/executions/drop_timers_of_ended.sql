DELETE FROM timer t
USING execution e
WHERE e.id = t.execution_id AND e.ended < $1
