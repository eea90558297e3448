UPDATE bus_owner o
SET done_off = h.position
FROM held h
WHERE EXISTS (SELECT FROM gate) AND o.topic = $1 AND o.part = h.part
