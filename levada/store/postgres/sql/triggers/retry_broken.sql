UPDATE trigger_flow SET format = 0 WHERE error IS NOT NULL
