"""The job kernel: log, committer, lock and run card under every batch job."""
