"""`tenfold chaos providers`: a Tenfold whose providers go wrong in every way there is. What its clients see is judged
call by call (the matrix), and measured under load (the scenarios)."""
