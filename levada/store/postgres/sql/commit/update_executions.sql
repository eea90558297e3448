UPDATE execution e
SET flow_revision = u.flow_revision, state = u.state, ended = u.ended, labels = u.labels::jsonb, deleted = u.deleted,
    seq = u.seq, head = u.head
FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::bool[], $7::int[], $8::text[])
     AS u (id, flow_revision, state, ended, labels, deleted, seq, head)
WHERE EXISTS (SELECT FROM gate) AND e.id = u.id
