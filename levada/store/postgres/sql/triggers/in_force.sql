-- The revision of each flow that counts: the latest that is not a draft; deleting counts also for a draft.
-- triggers.py puts a condition where `flows` stands in braces.
SELECT DISTINCT ON (tenant, namespace, id) tenant, namespace, id, revision
FROM flow
WHERE (NOT draft OR deleted) AND {flows}
ORDER BY tenant, namespace, id, revision DESC
