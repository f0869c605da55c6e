"""What the handler answers, as far as it needs nothing of the gateway."""


def greet(arguments: list) -> str:
    match arguments:
        case [str(name), *_]:
            return f"Hello, {name}!"
        case _:
            raise ValueError("hello needs a name")
