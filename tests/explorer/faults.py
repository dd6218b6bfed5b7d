"""Faults put in on purpose, on the wire of every process: the explorer has to find each.

What the product asks for is sent otherwise than it was asked; the product itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from explorer.wire import Call
from explorer.world import World

Pass = Callable[[Call], Any]


def spoil(world: World, fault: Callable[[Call, Pass], Any]) -> None:
    """Put a fault into all processes of a world."""
    for name in ("world", "a", "b"):
        world.process(name).wire.sabotage = fault


def unconditional_pointer(call: Call, pass_on: Pass) -> Any:
    """Write the tenant's feed pointer whatever it has become since it was read."""
    if call.operation != "TransactWriteItems":
        return pass_on(call)
    items = [
        _without_condition(param) if _key(param).startswith("FEED#") else param
        for param in call.params["TransactItems"]
    ]
    return pass_on(_with(call, items))


def lock_outside(call: Call, pass_on: Pass) -> Any:
    """Free the tenant's lock in a call of its own, after the transaction of the run's end."""
    return _apart(call, pass_on, _frees_lock)


def event_outside(call: Call, pass_on: Pass) -> Any:
    """Write what webhooks are told in a call of its own, after the transaction."""
    return _apart(call, pass_on, lambda item: _key(item).startswith("EVENT#"))


def receives_nothing(call: Call, pass_on: Pass) -> Any:
    """Fail each receive with an error that the product does not know."""
    if call.operation == "ReceiveMessage":
        raise ZeroDivisionError
    return pass_on(call)


def _apart(
    call: Call, pass_on: Pass, is_apart: Callable[[dict[str, Any]], bool]
) -> Any:
    if call.operation != "TransactWriteItems":
        return pass_on(call)
    items = call.params["TransactItems"]
    apart = [item for item in items if is_apart(item)]
    if not apart or len(apart) == len(items):
        return pass_on(call)
    answer = pass_on(
        _with(call, [item for item in items if not is_apart(item)])
    )
    pass_on(_with(call, [_without_condition(item) for item in apart]))
    return answer


def _with(call: Call, items: list[dict[str, Any]]) -> Call:
    params = {"TransactItems": items}
    return Call(call.number, call.operation, params, call.client)


def _frees_lock(item: dict[str, Any]) -> bool:
    expression = next(iter(item.values())).get("UpdateExpression", "")
    return _key(item).startswith("LOCK#") and "REMOVE #holder" in expression


def _key(item: dict[str, Any]) -> str:
    (arguments,) = item.values()
    return str(arguments.get("Item", arguments.get("Key"))["pk"]["S"])


def _without_condition(item: dict[str, Any]) -> dict[str, Any]:
    """Return a write without its condition, and without what that alone needs."""
    ((action, arguments),) = item.items()
    text = arguments.get("UpdateExpression", "")
    bare = {
        k: v
        for k, v in arguments.items()
        if not k.startswith(("Condition", "ReturnValues"))
    }
    for parameter in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        placeholders = bare.pop(parameter, {})
        names = {
            name: placeholders[name] for name in placeholders if name in text
        }
        if names:
            bare[parameter] = names
    return {action: bare}
