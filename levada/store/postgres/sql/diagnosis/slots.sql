SELECT execution_id, holds, at FROM concurrency_slot WHERE flow_key = $1 ORDER BY holds DESC, at LIMIT 1000
