WITH marked AS (
    SELECT DISTINCT m.tenant, m.at - m.at % 3600000000 AS at FROM unnest($1::text[], $2::bigint[]) AS m (tenant, at)
), fresh AS (
    SELECT m.tenant, m.at, x.namespace, x.flow_id, x.state, sum(x.n)::bigint AS n, sum(x.ended)::bigint AS ended,
           sum(x.duration)::bigint AS duration, min(x.shortest) AS shortest, max(x.longest) AS longest
    FROM marked m
    JOIN execution_count_minute x ON x.tenant = m.tenant AND x.at >= m.at AND x.at < m.at + 3600000000
    GROUP BY m.tenant, m.at, x.namespace, x.flow_id, x.state
), gone AS (
    DELETE FROM execution_count_hour c
    USING marked m
    WHERE c.tenant = m.tenant AND c.at = m.at AND NOT EXISTS (
        SELECT FROM fresh f
        WHERE (f.tenant, f.at, f.namespace, f.flow_id, f.state) = (c.tenant, c.at, c.namespace, c.flow_id, c.state)
    )
)
INSERT INTO execution_count_hour AS c (
    tenant, at, namespace, flow_id, state, n, ended, duration, shortest, longest
)
SELECT tenant, at, namespace, flow_id, state, n, ended, duration, shortest, longest FROM fresh
ON CONFLICT (tenant, at, namespace, flow_id, state) DO UPDATE
SET n = excluded.n, ended = excluded.ended, duration = excluded.duration,
    shortest = excluded.shortest, longest = excluded.longest
WHERE (c.n, c.ended, c.duration) IS DISTINCT FROM (excluded.n, excluded.ended, excluded.duration)
