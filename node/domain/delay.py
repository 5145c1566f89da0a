"""How long somebody has to wait after failed logins. Times are microseconds since 1970, waits whole seconds."""

from __future__ import annotations

from dataclasses import dataclass

MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Delay:
    """The first ``free`` failures cost nothing, each further one doubles the wait, up to ``seconds_max``.

    ``forget_seconds`` after the last failure all are forgotten. The bound keeps others from locking a user out for
    good: whatever they do, there is another try within ``seconds_max``.
    """

    free: int
    seconds_max: int
    forget_seconds: int

    def after(self, failures: int) -> int:
        """The wait that follows so many failures, in seconds."""
        beyond = failures - self.free
        if beyond < 0:
            return 0
        return min(1 << min(beyond, 63), self.seconds_max)

    def left(self, failures: int, last_at: int, now: int) -> int:
        """What is left of the wait ``now``; never more than all of it, also when the clock was set back."""
        whole = self.after(failures) * MICROS
        left = min(last_at + whole - now, whole)
        return -(-left // MICROS) if left > 0 else 0

    def counted(self, failures: int, last_at: int, now: int) -> int:
        """How many of the failures still count."""
        return 0 if now - last_at >= self.forget_seconds * MICROS else failures


ACCOUNT = Delay(free=10, seconds_max=900, forget_seconds=86_400)
ADDRESS = Delay(free=30, seconds_max=900, forget_seconds=3_600)
