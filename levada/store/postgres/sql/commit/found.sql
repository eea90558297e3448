SELECT e.id
FROM unnest($1::text[], $2::int[]) AS r (id, read_seq)
JOIN execution e ON e.id = r.id AND e.seq = r.read_seq
FOR NO KEY UPDATE OF e
