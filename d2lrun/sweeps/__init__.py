"""Many runs by one command: planned, carried out, watched, ranked, continued."""
