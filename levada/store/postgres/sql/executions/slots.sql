SELECT flow_key, count(*) FROM concurrency_slot WHERE flow_key = ANY ($1::text[]) AND holds GROUP BY flow_key
