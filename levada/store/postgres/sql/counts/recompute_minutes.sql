WITH marked AS (
    SELECT * FROM unnest($1::text[], $2::bigint[]) AS m (tenant, at)
), fresh AS (
    SELECT m.tenant, m.at, x.namespace, x.flow_id, x.state, count(*) AS n, count(x.ended) AS ended,
           coalesce(sum(x.ended - x.created), 0)::bigint AS duration,
           min(x.ended - x.created) AS shortest, max(x.ended - x.created) AS longest
    FROM marked m
    JOIN execution x ON x.tenant = m.tenant AND x.created >= m.at AND x.created < m.at + 60000000
    WHERE NOT x.deleted AND coalesce(x.kind, 'NORMAL') = 'NORMAL'
    GROUP BY m.tenant, m.at, x.namespace, x.flow_id, x.state
), gone AS (
    DELETE FROM execution_count_minute c
    USING marked m
    WHERE c.tenant = m.tenant AND c.at = m.at AND NOT EXISTS (
        SELECT FROM fresh f
        WHERE (f.tenant, f.at, f.namespace, f.flow_id, f.state) = (c.tenant, c.at, c.namespace, c.flow_id, c.state)
    )
)
INSERT INTO execution_count_minute AS c (
    tenant, at, namespace, flow_id, state, n, ended, duration, shortest, longest
)
SELECT tenant, at, namespace, flow_id, state, n, ended, duration, shortest, longest FROM fresh
ON CONFLICT (tenant, at, namespace, flow_id, state) DO UPDATE
SET n = excluded.n, ended = excluded.ended, duration = excluded.duration,
    shortest = excluded.shortest, longest = excluded.longest
WHERE (c.n, c.ended, c.duration) IS DISTINCT FROM (excluded.n, excluded.ended, excluded.duration)
