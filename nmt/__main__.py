"""`python -m nmt` is the console command."""

from nmt.cli import main

main()
