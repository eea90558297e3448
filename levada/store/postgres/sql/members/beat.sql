INSERT INTO member AS m (service, name, lease_until, info)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3::float8), $4)
ON CONFLICT (service, name) DO UPDATE SET lease_until = excluded.lease_until, info = excluded.info
