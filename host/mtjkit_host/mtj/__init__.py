"""The MTJ cell: its write errors and its energy."""
