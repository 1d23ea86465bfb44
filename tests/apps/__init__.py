"""Applications that the tests serve: each imports as `apps.NAME` from the folder above."""
