"""A pytest plugin for the frameworks' suites: their test clients reach the application over the wire.

It runs in the suites' own environment, where this folder's parent is on the path, and so it imports
nothing of the other tests. `plugin` is what pytest is told to load.
"""
