DELETE FROM execution_event WHERE execution_id = ANY ($1::text[])
