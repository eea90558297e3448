SELECT DISTINCT namespace
FROM (
    SELECT DISTINCT ON (namespace, id) namespace, deleted
    FROM flow
    WHERE tenant = $1
    ORDER BY namespace, id, revision DESC
) AS newest
WHERE NOT deleted
ORDER BY namespace
