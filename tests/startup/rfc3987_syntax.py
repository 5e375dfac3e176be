"""Stands before the installed package of this name, which builds a large grammar at each start of a process.

jsonschema imports it, where it is installed, to check the formats `iri` and `iri-reference`. No schema here uses them,
and it costs two seconds of each sandbox, Jupyter server and nbconvert that the tests start. jsonschema does without it,
as it does for users who have no Jupyter.
"""

raise ImportError("the tests do without rfc3987_syntax")
