"""Prices from a shop's webhook: asked for again when it fails, and kept for a minute when it has answered."""

import json
import time
from typing import Any
from urllib.parse import quote

from hubgate import Connection, config, fail, http, log, method, reject, state

KEPT_MS = 60_000
ATTEMPTS = 3
TIMEOUT_MS = 200


@method
def price(client: Connection, product: str) -> Any:
    key = f"price/{product}"
    known = state.get(key)
    if known is None:
        known = ask(product)
        state.set(key, known, ttl_ms=KEPT_MS)
    return known


def ask(product: str) -> Any:
    url = f"{config.get('webhook')}/prices/{quote(product, safe='')}"
    for attempt in range(1, ATTEMPTS + 1):
        try:
            response = http.get(url, timeout_ms=TIMEOUT_MS)
        except http.Error as error:
            problem = str(error)
        else:
            if response.status == 200:
                return json.loads(response.body)
            if response.status == 404:
                reject(f"There is no product '{product}'.")
            problem = f"it answered with the status {response.status}"
        log.warn("the webhook has failed", attempt=attempt, problem=problem)
        # The gateway serves others meanwhile.
        time.sleep(0.05 * attempt)
    fail(f"the webhook has no price of '{product}' after {ATTEMPTS} attempts")
