"""`python -m genophen`."""

from genophen.cli import main

main()
