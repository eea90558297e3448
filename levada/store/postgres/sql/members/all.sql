SELECT service, name, (extract(epoch FROM started) * 1000000)::bigint,
       (extract(epoch FROM lease_until) * 1000000)::bigint, lease_until > clock_timestamp(), info
FROM member
WHERE $1::text IS NULL OR service = $1
ORDER BY service, name
