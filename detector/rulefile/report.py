"""What was found wrong, with its place -> problems, in the order of finding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from detector.errors import DetectorError, Place
from detector.model import Problem
from detector.text.document import Text, cut
from detector.text.faults import Fault, faults

M = TypeVar("M", bound=BaseModel)


class Report:
    """Gathers problems; what is read goes on after each of them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(
        self,
        message: str,
        place: Place,
        hint: str | None = None,
        *,
        level: Literal["error", "warning"] = "error",
        rule_id: str | None = None,
    ) -> None:
        """Add a problem at `place`."""
        self.problems.append(
            Problem(
                cut(message),
                level,
                hint,
                place.file,
                place.line,
                place.column,
                rule_id,
                place.text or None,
                place.width,
            )
        )

    def faults(self, found: Iterable[Fault], text: Text, rule_id: str | None) -> None:
        """Add faults whose paths begin at `text`."""
        for fault in found:
            place = text.key(fault.path) if fault.unknown else text.value(fault.path)
            self.add(fault.message, place, fault.hint, level=fault.level, rule_id=rule_id)

    def checked(self, model: type[M], text: Text) -> M | None:
        """The data at `text` as `model`; None where it is none, and why is added."""
        if not isinstance(text.data, dict):
            self.add("a mapping of keys is wanted", text.key(()))
            return None
        try:
            return model.model_validate(text.data)
        except ValidationError as error:
            self.faults(faults(error, model), text, None)
            return None

    def readable(self, read: Iterable[Text | DetectorError]) -> list[Text]:
        """Add what could not be read, return the rest."""
        texts = []
        for item in read:
            if isinstance(item, Text):
                texts.append(item)
            else:
                self.add(item.message, item.place or Place(1, 1), item.hint)
        return texts
