"""The frameworks' own test suites, with their test clients' requests going over sockets to this server."""
