"""`tenfold chaos money`: a Tenfold in a scratch folder under load, with its workers killed and its provider broken, and
an audit of every amount afterwards against what the provider says it billed."""
