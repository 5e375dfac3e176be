"""The useapi.net RunwayML API (`/v1/runwayml` and `/v2/account`), from its documents: the service was out of reach."""
