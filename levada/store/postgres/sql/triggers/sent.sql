UPDATE trigger_fire SET sent = true, body = NULL WHERE execution_id = ANY ($1::text[]) AND NOT sent
