SELECT tenant, state, count(*) FROM execution WHERE ended IS NULL AND NOT deleted GROUP BY tenant, state
