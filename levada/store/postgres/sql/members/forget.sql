DELETE FROM member WHERE lease_until < clock_timestamp() - make_interval(secs => $1::float8)
