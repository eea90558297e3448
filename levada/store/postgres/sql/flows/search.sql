-- The latest revision of every flow of a tenant; flows.py adds conditions and order.
SELECT namespace, id, revision, source, updated, tenant, disabled, deleted, draft, labels::text, description,
       count(*) OVER () AS total
FROM (
    SELECT DISTINCT ON (namespace, id) *
    FROM flow
    WHERE tenant = $1
    ORDER BY namespace, id, revision DESC
) AS newest
WHERE NOT deleted
