"""What the service can do on one machine, each figure beside a limit measured in the same run: `make bench`."""
