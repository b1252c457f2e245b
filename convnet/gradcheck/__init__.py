"""The referee: is this gradient right? For every op and model of the library, and for anybody's function.

`audit` examines a function, `audit_network` a network op by op, and `assert_gradients` is an audit in a test.
docs/gradients.md says what each stage proves.
"""

from convnet.gradcheck.assertion import assert_gradients
from convnet.gradcheck.audit import Auditor, audit
from convnet.gradcheck.evidence.case import Convention
from convnet.gradcheck.network import audit_network
from convnet.gradcheck.oracle import Oracle
from convnet.gradcheck.verdict import Check, Report

__all__ = ["Auditor", "Check", "Convention", "Oracle", "Report", "assert_gradients", "audit", "audit_network"]
