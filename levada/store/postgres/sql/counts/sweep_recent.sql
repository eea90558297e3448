WITH tenants AS (
    SELECT DISTINCT tenant FROM flow
), there AS (
    SELECT x.tenant, x.created - x.created % 60000000 AS at, count(*) AS n
    FROM tenants t
    CROSS JOIN LATERAL (
        SELECT tenant, created FROM execution
        WHERE tenant = t.tenant AND created >= $1 AND NOT deleted AND coalesce(kind, 'NORMAL') = 'NORMAL'
    ) x
    GROUP BY 1, 2
), counted AS (
    SELECT c.tenant, c.at, sum(c.n)::bigint AS n
    FROM tenants t JOIN execution_count_minute c ON c.tenant = t.tenant AND c.at >= $1
    GROUP BY 1, 2
)
INSERT INTO execution_count_mark (tenant, at)
SELECT tenant, at
FROM there t FULL JOIN counted c USING (tenant, at)
WHERE t.n IS DISTINCT FROM c.n
ORDER BY 1, 2
ON CONFLICT DO NOTHING
