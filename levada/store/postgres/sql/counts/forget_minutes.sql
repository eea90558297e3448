DELETE FROM execution_count_minute WHERE at < $1
