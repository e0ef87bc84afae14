"""Campaigns: nets x memories x error rates x repeats, and the paper's figures and tables."""

from mtjkit_host.campaign.runner import CampaignResult, run_campaign
from mtjkit_host.campaign.spec import Campaign, NetEntry, Rrmse, load_campaign

__all__ = ["Campaign", "CampaignResult", "NetEntry", "Rrmse", "load_campaign", "run_campaign"]
