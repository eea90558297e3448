SELECT o.part, m.name
FROM bus_owner o
LEFT JOIN member m ON m.service = $1 AND m.name = o.owner AND m.lease_until > clock_timestamp()
WHERE o.topic = $2
