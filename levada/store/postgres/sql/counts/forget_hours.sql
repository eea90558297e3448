DELETE FROM execution_count_hour WHERE at < $1
