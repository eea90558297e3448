SELECT topic, count(*)
FROM (SELECT topic FROM dead_letter WHERE replayed IS NULL AND dropped IS NULL LIMIT $1) AS open
GROUP BY topic
