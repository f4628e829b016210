"""`tenfold chaos jobs`: jobs under kill -9 of workers and of Postgres, and an audit of what became of each."""
