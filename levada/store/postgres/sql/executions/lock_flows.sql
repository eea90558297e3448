SELECT flow_key FROM concurrency_flow WHERE flow_key = ANY ($1::text[]) ORDER BY flow_key FOR UPDATE
