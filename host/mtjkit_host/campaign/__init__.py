"""Campaigns: nets x memories x error rates x repeats, and the paper's figures and tables.

`run_campaign` measures, `write_report` evaluates and draws, `print_tables` shows the tables;
`reproduce` does it all for the paper's experiments.
"""

from mtjkit_host.campaign.report import write_report
from mtjkit_host.campaign.reproduce import Reproduction, reproduce
from mtjkit_host.campaign.runner import CampaignResult, run_campaign
from mtjkit_host.campaign.spec import Campaign, NetEntry, Rrmse, load_campaign
from mtjkit_host.campaign.summary import Summary, summarize
from mtjkit_host.campaign.tables import print_tables

__all__ = [
    "Campaign",
    "CampaignResult",
    "NetEntry",
    "Reproduction",
    "Rrmse",
    "Summary",
    "load_campaign",
    "print_tables",
    "reproduce",
    "run_campaign",
    "summarize",
    "write_report",
]
