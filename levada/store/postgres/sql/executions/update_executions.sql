-- `read_seq` is the fence against a second writer: fewer rows than asked for is a conflict.
UPDATE execution e
SET flow_revision = u.flow_revision, state = u.state, ended = u.ended, labels = u.labels::jsonb, deleted = u.deleted,
    seq = u.seq, head = u.head
FROM unnest($1::text[], $2::int[], $3::int[], $4::text[], $5::bigint[], $6::text[], $7::bool[], $8::int[], $9::text[])
     AS u (id, read_seq, flow_revision, state, ended, labels, deleted, seq, head)
WHERE e.id = u.id AND e.seq = u.read_seq
