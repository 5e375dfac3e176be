"""Made again: replay, verify, code, and bundles that a colleague opens."""
