SELECT state, count(*)
FROM (SELECT state FROM execution WHERE ended IS NULL AND NOT deleted LIMIT $1) AS live
GROUP BY state
