"""SIPp's scenarios, for those that have phones call."""

import string

from server import ROOT

HERE = ROOT / "tests/clients"


def caller(folder, **values):
    """The caller with its `$values` filled in: SIPp's own keys do not reach its actions."""
    path = folder / "caller.xml"
    path.write_text(string.Template((HERE / path.name).read_text()).substitute(values))
    return path
