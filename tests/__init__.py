"""Tests of aserve. They are a package so that every test imports `tests.support` in the same way."""
