SELECT count(*), min(at) FROM (SELECT at FROM ingress LIMIT $1) AS waiting
