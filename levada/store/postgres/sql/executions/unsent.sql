SELECT off, body FROM out_log WHERE part = $1 AND off >= $2 ORDER BY off
