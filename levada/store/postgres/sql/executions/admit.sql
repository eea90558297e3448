WITH free AS (
    SELECT f.flow_key, f.most - (SELECT count(*) FROM concurrency_slot s WHERE s.flow_key = f.flow_key AND s.holds) AS n
    FROM unnest($1::text[], $2::int[]) AS f (flow_key, most)
), oldest AS (
    SELECT w.flow_key, w.execution_id, w.at
    FROM free
    CROSS JOIN LATERAL (
        SELECT s.flow_key, s.execution_id, s.at
        FROM concurrency_slot s
        WHERE s.flow_key = free.flow_key AND NOT s.holds
        ORDER BY s.at, s.execution_id
        LIMIT greatest(free.n, 0)
    ) AS w
), admitted AS (
    UPDATE concurrency_slot s
    SET holds = true
    FROM oldest
    WHERE s.flow_key = oldest.flow_key AND s.execution_id = oldest.execution_id
    RETURNING s.flow_key, s.execution_id, s.at
)
SELECT flow_key, execution_id, at FROM admitted ORDER BY flow_key, at, execution_id
