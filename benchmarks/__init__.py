"""aserve next to its peers: the same applications, the same load, in one run.

``python -m benchmarks`` measures servers over real sockets, ``python -m benchmarks.micro`` measures
aserve's connection class without any. README.md in this folder has the method and its limits.

The launcher uses the standard library only, so that any Python from 3.11 on runs it; servers and
frameworks live in an environment of their own.
"""
