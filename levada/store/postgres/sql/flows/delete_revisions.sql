DELETE FROM flow WHERE tenant = $1 AND namespace = $2 AND id = $3 AND revision = ANY ($4::int[])
