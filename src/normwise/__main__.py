"""`python -m normwise` is `normwise`."""

from normwise.cli import main

main()
