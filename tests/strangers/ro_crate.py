"""The reference validator of RO-Crate, without a network: the context comes from the reference library's own copy.

Run with a folder; prints what it finds as JSON. A process of its own, since its libraries warn of their own age.
"""

import json
import sys
from pathlib import Path

import rocrate
from rocrate_validator import models, services
from rocrate_validator.utils import document_loader, http

CONTEXT = (Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_text(encoding="utf-8")


class CommandResult:
    """What the network would have answered."""

    status_code, text, ok = 200, CONTEXT, True

    def __init__(self):
        self.headers = {"Content-Type": "application/ld+json"}

    def json(self):
        return json.loads(CONTEXT)

    def raise_for_status(self):
        return None


def main(folder: str) -> None:
    document_loader._fetch_json_ld = lambda url: json.loads(CONTEXT)
    http.HttpRequester.get = lambda self, url, **_: CommandResult()
    settings = services.ValidationSettings(
        rocrate_uri=folder, profile_identifier="ro-crate-1.1", requirement_severity=models.Severity.REQUIRED
    )
    result = services.validate(settings)
    found = [[issue.check.identifier, issue.message] for issue in result.get_issues()]
    print(json.dumps({"checks": len(result.executed_checks), "issues": found}))


main(sys.argv[1])
