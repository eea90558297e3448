DELETE FROM execution WHERE id = ANY ($1::text[])
