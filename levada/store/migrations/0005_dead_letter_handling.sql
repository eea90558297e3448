-- 0005_dead_letter_handling: filled in by its part.
SELECT 1;
