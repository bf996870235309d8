"""``python -m d2lrun`` is ``d2lrun``."""

from d2lrun.cli import main

main()
