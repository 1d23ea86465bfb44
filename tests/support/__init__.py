"""What the tests are made of: a server process to talk to, and strict clients that talk to it."""
