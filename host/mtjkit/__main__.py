"""`python -m mtjkit`: the same commands as `mtjkit`."""

from mtjkit_host.cli import main

main()
