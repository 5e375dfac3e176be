"""Servers, files and records made to break the client, the log and the readers.

One module for each type of fault. Each has its own small server or files: the sandbox is a faithful service, and
these are none. `docs/security.md` says what each protects, and from whom.
"""
