"""What the filter hides."""


def hide(text: str) -> str:
    return text.replace("secret", "******")
