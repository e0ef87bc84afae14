"""Campaigns: nets x memories x error rates x repeats, measured point by point.

`run_campaign` measures; `mtjkit_host.analysis` evaluates and draws.
"""

from mtjkit_host.campaign.description import Campaign, NetEntry, Rrmse, load_campaign
from mtjkit_host.campaign.runner import CampaignResult, run_campaign

__all__ = ["Campaign", "CampaignResult", "NetEntry", "Rrmse", "load_campaign", "run_campaign"]
