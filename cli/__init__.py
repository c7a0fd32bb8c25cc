"""The command line: each command parses options, builds objects, calls one function, reports."""
