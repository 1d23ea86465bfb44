"""What RFC 9110, RFC 9112 and RFC 6585 demand, as tables of raw bytes and verdicts.

`cases/` holds the tables, one file for each subject; the tests here send every case to a server with
each parser, at once, byte by byte, and the short ones split at every position.
"""
