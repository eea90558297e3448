DELETE FROM concurrency_slot WHERE execution_id = ANY ($1::text[])
