DELETE FROM metric WHERE execution_id = ANY ($1::text[])
