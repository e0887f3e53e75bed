"""A match no alert can be made of in, the dead letter that says why out."""

from __future__ import annotations

import hashlib
import json

from detector.alerts import identity
from detector.model import Execution, Letter, Match, Rule


def letter(match: Match, rule: Rule, execution: Execution, reason: str) -> Letter:
    """The same rule and documents give the same id, whatever the reason."""
    events = tuple((document.index, document.id) for document in match.documents)
    homes = [[identity.home(index), id_] for index, id_ in events]
    uuid = identity.rule_uuid(rule.rule_id, execution.space)
    parts = json.dumps([uuid, execution.space, "letter", homes], separators=(",", ":"))
    id_ = hashlib.sha256(parts.encode()).hexdigest()
    document = match.documents[-1].source if match.documents else None
    return Letter(id_, rule.rule_id, reason, match.time, events, document=document)
