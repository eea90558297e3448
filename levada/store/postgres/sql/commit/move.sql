UPDATE bus_owner o
SET done_off = coalesce(h.done_off, o.done_off),
    relay_off = greatest(h.relay_off, o.relay_off),
    out_next = coalesce(h.out_next, o.out_next)
FROM held h
WHERE EXISTS (SELECT FROM gate) AND o.topic = 'commands' AND o.part = h.part
  AND (h.done_off <> o.done_off OR h.relay_off > o.relay_off OR h.out_next <> o.out_next)
