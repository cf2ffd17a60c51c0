"""The calls out that each extension has, and their limit."""

from routing.directory.extensions import ExtensionRow


class PhoneCalls:
    """The calls out that each extension has.

    Attributes:
        running: How many, by name; of extensions that have any.
    """

    __slots__ = ("running",)

    def __init__(self) -> None:
        self.running: dict[str, int] = {}

    def take(self, extension: ExtensionRow) -> bool:
        """Count one more call out; False where the extension may have no further one."""
        running = self.running.get(extension.name, 0)
        if running >= extension.max_calls:
            return False
        self.running[extension.name] = running + 1
        return True

    def release(self, extension: ExtensionRow) -> None:
        """A call that was counted is over."""
        left = self.running[extension.name] - 1
        if left:
            self.running[extension.name] = left
        else:
            del self.running[extension.name]
