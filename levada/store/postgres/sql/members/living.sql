SELECT name FROM member WHERE service = $1 AND lease_until > clock_timestamp() ORDER BY name
