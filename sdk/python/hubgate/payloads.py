"""Values as the contract carries them: JSON text, or MessagePack for plugins with `payload = "native"`."""

import json
from typing import Any

from wit_world.imports.types import Payload, Payload_Json, Payload_Msgpack

from .errors import Failed, Rejected


def reply(value: Any) -> Payload:
    """A value as JSON. What a method returns becomes one by itself; `reply(None)` answers with `null`."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair: JSON can carry it as an escape, UTF-8 cannot.
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise Failed(f"a value is not JSON: {error}") from None
    return Payload_Json(text)


def parse(payload: Payload) -> Any:
    """The value of a payload in JSON; integers are exact, whatever their size."""
    if isinstance(payload, Payload_Msgpack):
        raise Failed("the payload is MessagePack; a method reads its bytes with one parameter of the type Payload")
    try:
        return json.loads(payload.value)
    except (ValueError, RecursionError) as error:
        raise Rejected(f"Wrong arguments: {error}") from None
