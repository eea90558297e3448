DELETE FROM log WHERE execution_id = ANY ($1::text[])
