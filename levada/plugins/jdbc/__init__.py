"""`jdbc.*`: databases spoken to in SQL, by Kestra's names but without Java."""
