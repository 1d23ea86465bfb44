"""The server package: the parts of the process model, settings, sockets and logs."""
