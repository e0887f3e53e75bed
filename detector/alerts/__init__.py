"""A match in, the alert document out; its id, its index, and the mapping it is kept under."""

from detector.alerts.building import build
from detector.alerts.copies import same_content
from detector.alerts.flood import flood, telling_fields
from detector.alerts.identity import alert_id, needed_fields, rule_uuid
from detector.alerts.letters import letter
from detector.alerts.loops import looped
from detector.alerts.mapping import template
from detector.alerts.suppression import changed

__all__ = [
    "alert_id",
    "build",
    "changed",
    "flood",
    "letter",
    "looped",
    "needed_fields",
    "rule_uuid",
    "same_content",
    "telling_fields",
    "template",
]
