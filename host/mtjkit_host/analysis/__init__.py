"""What a campaign's results say: statistics, findings, figures, tables, a page.

`write_report` evaluates and draws, `print_tables` shows the tables; `reproduce` runs the paper's
experiments and does all of that.
"""

from mtjkit_host.analysis.page import write_report
from mtjkit_host.analysis.reproduce import Reproduction, reproduce
from mtjkit_host.analysis.summary import Summary, summarize
from mtjkit_host.analysis.tables import print_tables

__all__ = ["Reproduction", "Summary", "print_tables", "reproduce", "summarize", "write_report"]
