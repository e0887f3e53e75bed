"""A rule and a store in, what would alert out: nothing is written, no checkpoint asked."""

from __future__ import annotations

from detector import alerts
from detector.detect import detect
from detector.model import Ask, Earlier, Execution, Failure, Found, Match, Page, Rule, Window
from detector.store.base import Store


def matches(store: Store, rule: Rule, window: Window, execution: Execution) -> dict[str, Match]:
    """The matches of `rule` in `window` by the id of the alert each would become.

    Nothing counts as said by earlier runs.
    Raises the `StoreError` of a search that failed.
    """
    found: dict[str, Match] = {}
    fields = alerts.needed_fields(rule, execution.identity)
    detection = detect(rule, window, fields, lambda match: alerts.alert_id(match, rule, execution))
    reply: tuple[Page, ...] | None = None
    try:
        while True:
            match detection.send(reply):
                case Ask(searches):
                    asked = [one for one in searches if not isinstance(one, Earlier)]
                    answers = iter(store.search(asked))
                    reply = tuple(
                        Page(()) if isinstance(one, Earlier) else _page(next(answers))
                        for one in searches
                    )
                case Found(some):
                    for one in some:
                        if not alerts.looped(one, rule, execution):
                            found.setdefault(alerts.alert_id(one, rule, execution), one)
                    reply = None
    except StopIteration:
        return found
    finally:
        detection.close()
        store.release()


def _page(answer: Page | Failure) -> Page:
    if isinstance(answer, Failure):
        raise answer.error
    return answer
