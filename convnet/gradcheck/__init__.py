"""The referee: is this gradient right? For every op and model of the library, and for anybody's function.

`audit` examines a function, `audit_network` a network op by op. docs/gradients.md says what each stage proves.
"""

from convnet.gradcheck.audit import Auditor, audit
from convnet.gradcheck.evidence.case import Convention
from convnet.gradcheck.network import audit_network
from convnet.gradcheck.oracle import Oracle
from convnet.gradcheck.verdict import Check, Report

__all__ = ["Auditor", "Check", "Convention", "Oracle", "Report", "audit", "audit_network"]
