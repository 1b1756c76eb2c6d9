"""Which engines run, and whether there is room for another one within the memory they may use together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from factory.errors import EngineError
from factory.hardware import GIB
from serve.launch import Group
from serve.releases import Admission


class Memory:
    """The engines that run.

    Args:
        budget: Bytes that they may need together; None for no limit.
    """

    def __init__(self, budget: float | None) -> None:
        self.budget = budget
        self.groups: list[Group] = []
        self.parts = 1
        """Engines that a GPU is divided for: one that fills its part cannot make it smaller later."""

    @property
    def share(self) -> float:
        """An engine's part of the memory that engines may use on a GPU."""
        return 1 / self.parts

    def fits(self, need: float) -> bool:
        """Whether an engine that needs so many bytes fits beside those that run."""
        return self.budget is None or need + sum(g.need for g in self.groups) <= self.budget

    def holds(self, need: float) -> bool:
        """Whether an engine that needs so many bytes fits when it is alone."""
        return self.budget is None or need <= self.budget

    def require(self, members: Sequence[Admission], need: float) -> None:
        """Make sure that an engine fits when it is alone.

        Raises:
            EngineError: If it does not.
        """
        if self.budget is None or self.holds(need):
            return
        raise EngineError(
            f"{', '.join(a.ref for a in members)} does not fit into the memory for engines",
            where="--memory",
            got=f"{need / GIB:.1f} GiB needed",
            allowed=f"{self.budget / GIB:.1f} GiB",
            hint="declare more, or serve fewer personas",
        )

    def require_part(self, admission: Admission, engines: int) -> None:
        """Make sure that every engine has a part of the GPU.

        Args:
            admission: What is about to be served.
            engines: How many there would be with it.

        Raises:
            EngineError: If the GPU is divided for fewer.
        """
        if engines > self.parts:
            raise EngineError(
                f"{admission.ref} needs an engine of its own, and the GPU is divided for {self.parts}",
                hint="start `factory serve` again, which divides it anew",
            )

    def end(self) -> None:
        """Stop every engine, also if one of them makes trouble."""
        with ExitStack() as every:
            for group in self.groups:
                every.callback(group.end)
            self.groups.clear()
