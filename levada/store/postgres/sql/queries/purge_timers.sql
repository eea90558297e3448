DELETE FROM timer WHERE execution_id = ANY ($1::text[])
